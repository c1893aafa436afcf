import { fillModule } from "../checkpoint/fill.ts";
import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import type { FusionStrategy } from "../models/fusion/strategy.ts";
import { UNet2DConditionModel } from "../models/unet/unet.ts";
import { directory } from "../node/files.ts";
import { encodePng } from "../node/images.ts";
import { loadEncoders, type TryOnEncoders, type TryOnModel } from "../pipelines/components.ts";
import { beginModule, fusionConfig, StoredFusions } from "../pipelines/fusion.ts";
import { json } from "../pipelines/load.ts";
import { encodePrompt } from "../pipelines/conditioning.ts";
import { Runner } from "../pipelines/runner.ts";
import { drawBatch, makeBatch, mixSeeds, type EncodedPair } from "../training/batches.ts";
import type { TryOnDataset } from "../training/data/dataset.ts";
import { encodePair } from "../training/encode.ts";
import { initialize } from "../nn/init.ts";
import { Fetched, Shuffled } from "../training/loop.ts";
import { FUSION_FOLDER, Masters, SUBSETS, type TrainedNetwork } from "../training/masters.ts";
import { noiseLevels, type TimestepBias } from "../training/noise_levels.ts";
import { tryOnLoss, type TrainedFusion, type TryOnNetworks } from "../training/tryon_loss.ts";
import { InputError } from "../util/errors.ts";
import type { OutputFolder } from "../util/host.ts";
import type { Category } from "../vision/agnostic.ts";
import type { RgbImage } from "../vision/image.ts";
import { sheet } from "../vision/sheet.ts";
import { checkpointFolder } from "./checkpoints.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, UsageError, type ExitCode } from "./errors.ts";
import { openFusion } from "./fusion.ts";
import { refuseIdle } from "./idle_options.ts";
import type { Interrupt } from "./interrupt.ts";
import { parseOptions } from "./options.ts";
import { readJson } from "./json.ts";
import { checkFolder } from "./output.ts";
import { heldOutPairs, openPairs, type Shown } from "./pairs.ts";
import { TrainOptions, type TrainArguments } from "./train_options.ts";
import { train, untilInterrupted } from "./training.ts";

/** `toile train`: both UNets of the try-on, together. */
export async function trainTryOn(
  raw: Readonly<Record<string, unknown>>,
  given: ReadonlySet<string>,
): Promise<ExitCode> {
  const options = parseOptions(TrainOptions, raw);
  refuseIdle(options, given);
  await checkFolder(options.output_dir);
  return untilInterrupted((interrupt) => work(options, interrupt));
}

async function work(options: TrainArguments, interrupt: Interrupt): Promise<ExitCode> {
  const { model, mixed_precision: precision } = options;
  const { signal } = interrupt;
  const strategy = await openFusion(options.fusion);
  const dataset = await openPairs(options, shownBy(model), options.masks);
  const folder = directory(await checkpointFolder(options.pretrained_model_name_or_path));
  const device = await adapterDevice();
  const encoders = await loadEncoders(device, folder, { dtype: "f32", signal });
  const [garment, tryOn] = await loadUnets(device, folder, options, encoders.vae.config.latent_channels);
  const dtype = precision === "fp16" ? "f16" : "f32";
  if (dtype === "f16" && !device.facts.f16)
    throw new InputError("train", `--mixed_precision fp16 needs half precision, which ${device.facts.name} lacks`);
  const unets = { garmentUnet: garment.module, tryOnUnet: tryOn.module };
  const fusion = await trainedFusion(device, folder, { encoders, unets, options, strategy });
  const { module } = fusion;
  const own = module ? [{ folder: FUSION_FOLDER, module, config: fusionConfig(strategy) }] : [];
  const networks = [garment, tryOn, ...own];
  const masters = await Masters.of(networks, { dtype, trains: SUBSETS[options.train] });
  const parts = { encoders, unets, options, fusion };
  const [prepare, validate] = [batches(device, dataset, parts), validation(device, folder, parts, signal)];
  const facts = { fusion: strategy.name, prediction_type: noiseLevels(encoders.scheduler).prediction };
  await train({ options, dtype, networks, masters, pairs: dataset.length, facts, prepare, validate }, interrupt);
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
    // spelled out: diffusers' defaults are not Stable Diffusion 1.5's
    return { folder: name, module, config: { _class_name: "UNet2DConditionModel", ...module.config, ...config } };
  };
  return [await load("unet_garm", latent), await load("unet_vton", 2 * latent)];
}

interface Networks {
  readonly encoders: TryOnEncoders;
  readonly unets: TryOnNetworks;
  readonly options: TrainArguments;
}

interface Parts extends Networks {
  readonly fusion: TrainedFusion;
}

/** The strategy with its own weights in float32: those beside the folder's UNets, or first ones. */
async function trainedFusion(
  device: Device,
  folder: Folder,
  { encoders, unets, options, strategy }: Networks & { readonly strategy: FusionStrategy },
): Promise<TrainedFusion> {
  const { tryOnUnet: unet } = unets;
  const latentScale = encoders.vae.config.scaling_factor;
  const made = () => {
    const module = strategy.module?.(unet);
    if (module) beginModule(device, strategy, module, unet, "f32");
    return { module };
  };
  const place = { folder, path: `ootd/ootd_${options.model}/checkpoint-36000/${FUSION_FOLDER}` };
  const stored = new StoredFusions(device, { residency: encoders.residency, unet, dtype: "f32" }, place);
  const { module } = options.unet_config === undefined ? await stored.of(strategy) : made();
  if (options.train === "strategy" && !module)
    throw new UsageError(`--train strategy: the fusion "${strategy.name}" has no weights of its own`);
  return { strategy, module, latentScale };
}

function timestepBias(options: TrainArguments): TimestepBias | undefined {
  const { timestep_bias_strategy: strategy, timestep_bias_multiplier: multiplier } = options;
  const { timestep_bias_portion: portion, timestep_bias_begin: begin, timestep_bias_end: end } = options;
  return strategy === "none" ? undefined : { strategy, multiplier, portion, begin, end };
}

/** Fetches, encodes and stacks the pairs of a micro-batch. */
function batches(device: Device, dataset: TryOnDataset, { encoders, unets, options, fusion }: Parts) {
  const { seed, train_batch_size: size, model, cache_latents: caches, gradient_checkpointing: checkpointing } = options;
  const shuffled = new Shuffled(seed, dataset.length, size);
  const fetched = new Fetched(dataset, shuffled);
  const cache = new Map<number, EncodedPair>();
  const prompts = {
    vae: encoders.vae,
    encodePrompt: (garment: RgbImage, category: Category) =>
      encodePrompt({ device, components: encoders, model, category, garment }).prompt,
  };
  const noise = {
    levels: noiseLevels(encoders.scheduler),
    garmentDropout: options.garment_dropout,
    snrGamma: options.snr_gamma,
    noiseOffset: options.noise_offset,
    timestepBias: timestepBias(options),
  };
  const cached = async (index: number) => {
    const pair = cache.get(index) ?? (await encodePair(device, prompts, await dataset.get(index)));
    cache.set(index, pair);
    return pair;
  };
  return async (batch: number) => {
    const pairs: EncodedPair[] = [];
    if (caches) for (const { index } of shuffled.of(batch)) pairs.push(await cached(index));
    else for (const sample of await fetched.of(batch)) pairs.push(await encodePair(device, prompts, sample));
    const drawn = drawBatch(seed, batch, size, pairs[0]!.shape, noise);
    return () => tryOnLoss(unets, makeBatch(device, pairs, drawn, noise), { fusion, checkpointing });
  };
}

const SHOWN = 4;
const shownBy = (model: TryOnModel): Shown => (model === "hd" ? "half" : "whole");

/** Held-out drawn people in other garments: garment, person, result and truth, one below the other. */
function validation(device: Device, folder: Folder, parts: Parts, signal: AbortSignal) {
  const { encoders, unets, options, fusion } = parts;
  const { width, height, model } = options;
  const pairs = heldOutPairs(shownBy(model), { width, height, pairing: "unpaired", length: SHOWN });
  return async (step: number, output: OutputFolder) => {
    const held = await pairs;
    const runner = new Runner(
      device,
      folder,
      { ...encoders, ...unets, fusions: { of: async () => ({ module: fusion.module, note: undefined }) } },
      model,
      options.mixed_precision === "fp16" ? "f16" : "f32",
    );
    const columns: RgbImage[][] = [];
    for (let i = 0; i < SHOWN; i++) {
      const { person, garment, mask, truth, category } = await held.get(i);
      const pictures = { person, garment, mask, category, width, height, signal };
      const result = await runner.run({ ...pictures, fusion: fusion.strategy, seed: 0, fit: "stretch" });
      columns.push([garment, person, result.images[0]!, truth!]);
    }
    await runner.forget();
    await output.write(`${options.logging_dir}/validation-${step}.png`, await encodePng(sheet(columns)));
  };
}
