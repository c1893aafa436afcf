import { fillModule } from "../checkpoint/fill.ts";
import type { Device } from "../gpu/device.ts";
import { AutoencoderKL } from "../models/vae/vae.ts";
import { directory } from "../node/files.ts";
import { encodePng } from "../node/images.ts";
import { json } from "../pipelines/load.ts";
import { Tensor } from "../tensor/tensor.ts";
import { mixSeeds } from "../training/batches.ts";
import type { TryOnDataset } from "../training/data/dataset.ts";
import { initialize } from "../nn/init.ts";
import { Fetched, Shuffled } from "../training/loop.ts";
import { Masters, type TrainedNetwork } from "../training/masters.ts";
import { vaeLoss } from "../training/vae_loss.ts";
import type { OutputFolder } from "../util/host.ts";
import { TorchGenerator } from "../util/random.ts";
import { fromFloat, toFloat, type RgbImage } from "../vision/image.ts";
import { sheet } from "../vision/sheet.ts";
import { checkpointFolder } from "./checkpoints.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { refuseIdleVae } from "./idle_options.ts";
import type { Interrupt } from "./interrupt.ts";
import { readJson } from "./json.ts";
import { parseOptions } from "./options.ts";
import { checkFolder } from "./output.ts";
import { heldOutPairs, openPairs } from "./pairs.ts";
import { TrainVaeOptions, type TrainVaeArguments } from "./train_options.ts";
import { train, untilInterrupted } from "./training.ts";

/** `toile train-vae`: the autoencoder, on random crops of persons and garments. */
export async function trainVae(raw: Readonly<Record<string, unknown>>, given: ReadonlySet<string>): Promise<ExitCode> {
  const options = parseOptions(TrainVaeOptions, raw);
  refuseIdleVae(options, given);
  await checkFolder(options.output_dir);
  return untilInterrupted((interrupt) => work(options, interrupt));
}

async function work(options: TrainVaeArguments, interrupt: Interrupt): Promise<ExitCode> {
  const dataset = await openPairs(options, "both", "none");
  const device = await adapterDevice();
  const network = await loadVae(device, options);
  const masters = await Masters.of([network]);
  const prepare = crops(device, dataset, network.module, options);
  const validate = validation(device, network.module, options);
  const pairs = dataset.length;
  await train({ options, dtype: "f32", networks: [network], masters, pairs, prepare, validate }, interrupt);
  await dataset.close?.();
  return EXIT.ok;
}

async function loadVae(
  device: Device,
  options: TrainVaeArguments,
): Promise<TrainedNetwork & { readonly module: AutoencoderKL }> {
  if (options.vae_config !== undefined) {
    const config = await readJson(options.vae_config);
    const module = new AutoencoderKL(config);
    initialize(device, module, options.seed);
    return { folder: "vae", module, config };
  }
  const folder = directory(await checkpointFolder(options.pretrained_model_name_or_path));
  const config = await json(folder, "ootd/vae/config.json");
  const module = new AutoencoderKL(config);
  const label = "vae";
  await fillModule(device, module, folder, "ootd/vae/diffusion_pytorch_model", { label, dtype: "f32" });
  return { folder: "vae", module, config };
}

/** Crops of persons and, every third time, of garments. */
function crops(device: Device, dataset: TryOnDataset, vae: AutoencoderKL, options: TrainVaeArguments) {
  const { seed, train_batch_size: size, crop } = options;
  const fetched = new Fetched(dataset, new Shuffled(seed, dataset.length, size));
  const latent = crop / vae.scale;
  return async (batch: number) => {
    const generator = new TorchGenerator(mixSeeds(seed, batch));
    const places = generator.rand([size, 3]);
    const pixels = new Float32Array(size * crop * crop * 3);
    for (const [i, { person, garment }] of (await fetched.of(batch)).entries()) {
      const [which, x, y] = places.subarray(3 * i, 3 * i + 3) as unknown as [number, number, number];
      copyCrop(which < 2 / 3 ? person : garment, crop, x, y, pixels.subarray(i * crop * crop * 3));
    }
    const noise = generator.randn([size, latent, latent, vae.config.latent_channels]);
    return () => {
      const images = Tensor.from(device, pixels, [size, crop, crop, 3]);
      const drawn = Tensor.from(device, noise, [size, latent, latent, vae.config.latent_channels]);
      return vaeLoss(vae, images, drawn, options.kl_weight);
    };
  };
}

/** A square of a picture as numbers in -1…1; x and y in 0…1 say where between the borders. */
function copyCrop(image: RgbImage, side: number, x: number, y: number, to: Float32Array): void {
  const values = toFloat(image);
  const left = Math.floor(x * (image.width - side + 1));
  const top = Math.floor(y * (image.height - side + 1));
  for (let row = 0; row < side; row++) {
    const from = 3 * ((top + row) * image.width + left);
    to.set(values.subarray(from, from + 3 * side), 3 * row * side);
  }
}

const SHOWN = 8;

/**
 * Held-out drawn pictures above what comes back of them, and how near that is. The latents' root mean square is what
 * `scaling_factor` of the config is to be the inverse of before UNets are trained on them.
 */
function validation(device: Device, vae: AutoencoderKL, { width, height, logging_dir: folder }: TrainVaeArguments) {
  const pairs = heldOutPairs("both", { width, height, length: SHOWN });
  return async (step: number, output: OutputFolder) => {
    const held = await pairs;
    const columns: RgbImage[][] = [];
    const errors = [0, 0, 0];
    let squares = 0;
    for (let i = 0; i < SHOWN; i++) {
      const { person, garment } = await held.get(i);
      const image = i % 3 === 2 ? garment : person;
      const { latents, back } = device.scope(() => {
        const pixels = Tensor.from(device, toFloat(image), [1, height, width, 3]);
        const mode = vae.encode(pixels).mode();
        return { latents: mode, back: vae.decode(mode) };
      });
      const codes = await latents.data();
      squares += codes.reduce((sum, code) => sum + code * code, 0) / codes.length / SHOWN;
      const values = (await back.data()).map((value) => value / 2 + 0.5);
      for (const tensor of [latents, back]) tensor.dispose();
      const shown = fromFloat(values, width, height);
      for (const [at, value] of shown.data.entries()) errors[at % 3]! += (value - image.data[at]!) ** 2;
      columns.push([image, shown]);
    }
    const decibels = (sum: number, channels: number) =>
      -10 * Math.log10(sum / (channels * SHOWN * width * height) / 255 ** 2);
    const [red, green, blue] = errors.map((error) => decibels(error, 1));
    const psnr = decibels(errors[0]! + errors[1]! + errors[2]!, 3);
    const numbers = { step, psnr, red, green, blue, latent_rms: Math.sqrt(squares) };
    await output.append(`${folder}/validation.jsonl`, `${JSON.stringify(numbers)}\n`);
    await output.write(`${folder}/validation-${step}.png`, await encodePng(sheet(columns)));
  };
}
