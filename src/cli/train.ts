import { fillModule } from "../checkpoint/fill.ts";
import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { UNet2DConditionModel } from "../models/unet/unet.ts";
import { directory } from "../node/files.ts";
import { encodePng } from "../node/images.ts";
import { loadEncoders, type TryOnEncoders, type TryOnModel } from "../pipelines/components.ts";
import { json } from "../pipelines/load.ts";
import { encodePrompt } from "../pipelines/conditioning.ts";
import { Runner } from "../pipelines/runner.ts";
import { drawBatch, makeBatch, mixSeeds, type EncodedPair } from "../training/batches.ts";
import type { TryOnDataset } from "../training/data/dataset.ts";
import { encodePair } from "../training/encode.ts";
import { initialize } from "../training/init.ts";
import { Shuffled } from "../training/loop.ts";
import { Masters, SUBSETS, type TrainedNetwork } from "../training/masters.ts";
import { noiseLevels } from "../training/noise_levels.ts";
import { tryOnLoss, type TryOnNetworks } from "../training/tryon_loss.ts";
import { InputError } from "../util/errors.ts";
import type { OutputFolder } from "../util/host.ts";
import type { Category } from "../vision/agnostic.ts";
import type { RgbImage } from "../vision/image.ts";
import { sheet } from "../vision/sheet.ts";
import { checkpointFolder } from "./checkpoints.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import type { Interrupt } from "./interrupt.ts";
import { parseOptions } from "./options.ts";
import { readJson } from "./json.ts";
import { checkFolder } from "./output.ts";
import { TrainOptions, type TrainArguments } from "./train_options.ts";
import { drawnPairs, HELD_OUT, openDataset, train, untilInterrupted, type Shown } from "./training.ts";

/** `toile train`: both UNets of the try-on, together. */
export async function trainTryOn(raw: Readonly<Record<string, unknown>>): Promise<ExitCode> {
  const options = parseOptions(TrainOptions, raw);
  await checkFolder(options.output_dir);
  return untilInterrupted((interrupt) => work(options, interrupt));
}

async function work(options: TrainArguments, interrupt: Interrupt): Promise<ExitCode> {
  const { model, mixed_precision: precision } = options;
  const dataset = await openDataset(options, shownBy(model));
  const folder = directory(await checkpointFolder(options.pretrained_model_name_or_path));
  const device = await adapterDevice();
  const encoders = await loadEncoders(device, folder, { dtype: "f32", signal: interrupt.signal });
  const [garment, tryOn] = await loadUnets(device, folder, options, encoders.vae.config.latent_channels);
  const dtype = precision === "fp16" ? "f16" : "f32";
  if (dtype === "f16" && !device.facts.f16)
    throw new InputError("train", `--mixed_precision fp16 needs half precision, which ${device.facts.name} lacks`);
  const networks = [garment, tryOn];
  const masters = await Masters.of(networks, { dtype, trains: SUBSETS[options.train] });
  const unets = { garmentUnet: garment.module, tryOnUnet: tryOn.module };
  const prepare = batches(device, dataset, { encoders, unets, options });
  const validate = validation(device, folder, { encoders, unets, options });
  await train({ options, dtype, networks, masters, pairs: dataset.length, prepare, validate }, interrupt);
  await dataset.close?.();
  return EXIT.ok;
}

type LoadedUnet = TrainedNetwork & { readonly module: UNet2DConditionModel };

/** Both UNets in float32: a try-on's own, a plain Stable Diffusion UNet twice, or fresh ones. */
async function loadUnets(
  device: Device,
  folder: Folder,
  options: TrainArguments,
  latent: number,
): Promise<[LoadedUnet, LoadedUnet]> {
  const load = async (name: "unet_garm" | "unet_vton", channels: number): Promise<LoadedUnet> => {
    const own = `ootd/ootd_${options.model}/checkpoint-36000/${name}`;
    const base = (await folder.has(`${own}/config.json`)) ? own : "unet";
    const fresh = options.unet_config;
    const config = { ...(fresh === undefined ? await json(folder, `${base}/config.json`) : await readJson(fresh)) };
    config["in_channels"] = channels;
    if (fresh !== undefined) config["out_channels"] = latent;
    const module = new UNet2DConditionModel(config);
    if (fresh !== undefined) {
      initialize(device, module, mixSeeds(options.seed, channels));
    } else {
      const options = { label: name, dtype: "f32", widen: ["conv_in.weight"] } as const;
      await fillModule(device, module, folder, `${base}/diffusion_pytorch_model`, options);
    }
    return { folder: name, module, config };
  };
  return [await load("unet_garm", latent), await load("unet_vton", 2 * latent)];
}

interface Parts {
  readonly encoders: TryOnEncoders;
  readonly unets: TryOnNetworks;
  readonly options: TrainArguments;
}

/** Fetches, encodes and stacks the pairs of a micro-batch. */
function batches(device: Device, dataset: TryOnDataset, { encoders, unets, options }: Parts) {
  const { seed, train_batch_size: size, model, cache_latents: caches, gradient_checkpointing: checkpointing } = options;
  const shuffled = new Shuffled(seed, dataset.length, size);
  const cache = new Map<number, EncodedPair>();
  const prompts = {
    vae: encoders.vae,
    encodePrompt: (garment: RgbImage, category: Category) =>
      encodePrompt({ device, components: encoders, dtype: "f32", model, category, garment }).prompt,
  };
  const noise = {
    levels: noiseLevels(encoders.scheduler),
    garmentDropout: options.garment_dropout,
    snrGamma: options.snr_gamma,
    noiseOffset: options.noise_offset,
  };
  const encoded = async ({ index, epoch }: { index: number; epoch: number }) => {
    const kept = cache.get(index);
    if (kept) return kept;
    const pair = await encodePair(device, prompts, await dataset.get(index, caches ? 0 : epoch));
    if (caches) cache.set(index, pair);
    return pair;
  };
  return async (batch: number) => {
    const pairs: EncodedPair[] = [];
    for (const wanted of shuffled.of(batch)) pairs.push(await encoded(wanted));
    const drawn = drawBatch(seed, batch, size, pairs[0]!.shape, noise);
    return () => tryOnLoss(unets, makeBatch(device, pairs, drawn, noise), { checkpointing });
  };
}

const SHOWN = 4;
const shownBy = (model: TryOnModel): Shown => (model === "hd" ? "half" : "whole");

/** Held-out drawn people in other garments: garment, person, result and truth, one below the other. */
function validation(device: Device, folder: Folder, { encoders, unets, options }: Parts) {
  const { width, height, model } = options;
  const held = drawnPairs(shownBy(model), { seed: HELD_OUT, width, height, pairing: "unpaired", length: SHOWN });
  return async (step: number, output: OutputFolder) => {
    const runner = new Runner(
      device,
      folder,
      { ...encoders, ...unets },
      model,
      options.mixed_precision === "fp16" ? "f16" : "f32",
    );
    const columns: RgbImage[][] = [];
    for (let i = 0; i < SHOWN; i++) {
      const { person, garment, mask, truth, category } = await held.get(i);
      const result = await runner.run({ person, garment, mask, category, width, height, seed: 0, fit: "stretch" });
      columns.push([garment, person, result.images[0]!, truth!]);
    }
    await runner.forget();
    await output.write(`${options.logging_dir}/validation-${step}.png`, await encodePng(sheet(columns)));
  };
}
