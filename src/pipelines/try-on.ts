import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { tryonScheduler } from "../schedulers/create.ts";
import { add, cast, clamp, mul, permute, repeat, slice } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { InputError } from "../util/errors.ts";
import { TorchGenerator } from "../util/random.ts";
import { sameShape, show } from "../util/shape.ts";
import { binarise, compositeGray, fromFloat, type GrayImage, type RgbImage } from "../vision/image.ts";
import { resize } from "../vision/resize.ts";
import { Bag } from "./bag.ts";
import { loadComponents, type TryOnComponents, type TryOnModel } from "./components.ts";
import {
  CATEGORIES,
  encodeGarment,
  imageTensor,
  traceConditioning,
  type Category,
  type GarmentConditioning,
} from "./conditioning.ts";
import { denoise } from "./denoise.ts";
import { Trace } from "./trace.ts";

export type Phase = "load" | "encode" | "garment" | "denoise" | "decode";

export interface TryOnLoadOptions {
  readonly device: Device;
  /** hd: half-body model, tops only. dc: full-body model, all categories. Default hd. */
  readonly model?: TryOnModel;
  /** Storage type; `auto` is f16 on GPUs that have it, else f32. */
  readonly dtype?: "auto" | "f32" | "f16";
  readonly signal?: AbortSignal;
  readonly onProgress?: (phase: Phase, done: number, total: number) => void;
}

export interface TryOnInputs {
  readonly person: RgbImage;
  readonly garment: RgbImage;
  /** White where the new garment may go. Resized to the output when it has another size. */
  readonly mask: GrayImage;
  /** Default upperbody, the only one of the hd model. */
  readonly category?: Category;
  /** Pixels, multiples of 8. Default 768 × 1024. */
  readonly width?: number;
  readonly height?: number;
  /** Default 20. */
  readonly steps?: number;
  /** How strongly the result follows the garment; below 1 guidance is off and a step costs half. Default 2. */
  readonly guidanceScale?: number;
  /** Default 1. */
  readonly samples?: number;
  /** Of the noise, as `torch.Generator().manual_seed` on the CPU; -1, the default, draws one. */
  readonly seed?: number;
  /** `unipc` (default), `ddim`, … : see SCHEDULER_NAMES. */
  readonly scheduler?: string;
  /** [samples, 4, height/8, width/8] to begin with instead of the seed's. */
  readonly noise?: { readonly shape: readonly number[]; readonly data: Float32Array };
  /** Whether the person's latent is put back outside the mask after each step. Default true. */
  readonly repaint?: boolean;
  /** Receives every intermediate tensor. */
  readonly trace?: Trace;
  readonly signal?: AbortSignal;
  readonly onStep?: (done: number, total: number) => void;
  readonly onProgress?: (phase: Phase, done: number, total: number) => void;
}

export interface TryOnResult {
  readonly images: RgbImage[];
  readonly mask: GrayImage;
  readonly masked: RgbImage;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly dtype: "f32" | "f16";
  /** Milliseconds of each phase. */
  readonly timings: Readonly<Record<string, number>>;
}

/** A loaded try-on: call it with pictures, dispose of it when done. */
export interface TryOnPipeline {
  (inputs: TryOnInputs): Promise<TryOnResult>;
  readonly device: Device;
  readonly model: TryOnModel;
  readonly dtype: "f32" | "f16";
  dispose(): void;
}

export const TryOnPipeline = {
  /**
   * Loads OOTDiffusion (Xu et al. 2024, arXiv 2403.01779) from a folder in the published layout: `ootd/…` and
   * `clip-vit-large-patch14/…`. In Node a path will do; elsewhere give a `Folder`.
   * @throws InputError, WeightsError, FormatError naming file and tensor
   */
  async fromPretrained(files: Folder | string, options: TryOnLoadOptions): Promise<TryOnPipeline> {
    const { device, model = "hd", signal, onProgress } = options;
    // software adapters gain nothing by half precision, and compile its kernels three times as long
    const half = device.facts.f16 && !device.facts.isSoftware;
    const dtype = options.dtype === undefined || options.dtype === "auto" ? (half ? "f16" : "f32") : options.dtype;
    if (dtype === "f16" && !device.facts.f16)
      throw new InputError("try-on", `f16 needs the feature "shader-f16", which ${device.facts.name} lacks`);
    const folder = typeof files === "string" ? device.openFolder?.(files) : files;
    if (!folder)
      throw new InputError(
        "try-on",
        `a path (${String(files)}) needs a device from toile/node; elsewhere give a folder`,
      );
    const progress = (done: number, total: number) => onProgress?.("load", done, total);
    const components = await loadComponents(device, folder, { model, dtype, signal, onProgress: progress });
    const runner = new Runner(device, components, model, dtype);
    return Object.assign((inputs: TryOnInputs) => runner.run(inputs), {
      device,
      model,
      dtype,
      dispose: () => runner.dispose(),
    });
  },
};

/** Throws unless a try-on of this model and size can be asked for. Needs nothing loaded. */
export function checkTryOn(model: TryOnModel, category: Category, width: number, height: number): void {
  if (!CATEGORIES.includes(category))
    throw new InputError("try-on", `category "${String(category)}": there are ${CATEGORIES.join(", ")}`);
  if (model === "hd" && category !== "upperbody")
    throw new InputError("try-on", `the hd model knows upperbody only, got ${category}: use the dc model`);
  for (const [name, size] of [
    ["width", width],
    ["height", height],
  ] as const)
    if (!Number.isInteger(size) || size < 64 || size % 8 !== 0)
      throw new InputError(
        "try-on",
        `${name} ${size} is not a multiple of 8 of at least 64; the nearest is ${Math.max(64, Math.round(size / 8) * 8)}`,
      );
}

interface Prepared {
  readonly person: RgbImage;
  readonly garment: RgbImage;
  readonly mask: GrayImage;
  readonly masked: RgbImage;
}

class Runner {
  readonly #device: Device;
  readonly #components: TryOnComponents;
  readonly #model: TryOnModel;
  readonly #dtype: "f32" | "f16";
  /** The last garment's conditioning: keyed by everything it depends on. */
  #garment: { readonly key: string; readonly conditioning: GarmentConditioning } | undefined;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(device: Device, components: TryOnComponents, model: TryOnModel, dtype: "f32" | "f16") {
    this.#device = device;
    this.#components = components;
    this.#model = model;
    this.#dtype = dtype;
  }

  /** Runs one try-on after the other: they share the garment that is kept. */
  run(inputs: TryOnInputs): Promise<TryOnResult> {
    const mine = this.#busy.then(() => this.#run(inputs));
    this.#busy = mine.catch(() => {});
    return mine;
  }

  dispose(): void {
    this.#garment?.conditioning.dispose();
    this.#garment = undefined;
    const { vae, textEncoder, imageEncoder, garmentUnet, tryOnUnet } = this.#components;
    for (const module of [vae, textEncoder, imageEncoder, garmentUnet, tryOnUnet]) module.dispose();
  }

  async #run(inputs: TryOnInputs): Promise<TryOnResult> {
    const {
      category = "upperbody",
      width = 768,
      height = 1024,
      steps = 20,
      guidanceScale = 2,
      samples = 1,
      signal,
      trace,
    } = inputs;
    checkTryOn(this.#model, category, width, height);
    if (!Number.isInteger(samples) || samples < 1) throw new InputError("try-on", `${samples} samples`);
    const seed = inputs.seed === undefined || inputs.seed === -1 ? Math.floor(Math.random() * 2 ** 31) : inputs.seed;
    const scheduler = tryonScheduler(this.#components.scheduler, inputs.scheduler);
    scheduler.setTimesteps(steps);
    const guided = guidanceScale >= 1; // as published: 1.0 already doubles the batch
    const timings: Record<string, number> = {};
    const phase = async <T>(name: Phase, work: () => Promise<T>): Promise<T> => {
      signal?.throwIfAborted();
      inputs.onProgress?.(name, 0, 1);
      const start = performance.now();
      const result = await work();
      timings[name] = performance.now() - start;
      return result;
    };
    const device = this.#device;
    const bag = new Bag(device);
    try {
      const pictures = prepare(inputs, width, height);
      // one generator draws all of a run's noise in PyTorch's order, so that a seed gives the reference's picture
      const generator = new TorchGenerator(seed);
      const latentShape = [samples, 4, height / 8, width / 8];
      const drawNoise = () => this.#fromPlanes(generator.randn(latentShape), latentShape);
      const noise = bag.run(() => (inputs.noise ? this.#given(inputs.noise, latentShape) : drawNoise()));
      await trace?.add("noise", noise);
      const latents = await phase("encode", () => this.#encodePerson(bag, pictures, inputs));
      const conditioning = await phase("garment", () => this.#conditioning(pictures.garment, category, guided));
      if (trace) await traceConditioning(trace, conditioning.shown, samples);
      const last = await phase("denoise", () =>
        denoise({
          device,
          dtype: this.#dtype,
          components: this.#components,
          conditioning,
          scheduler,
          noise,
          drawNoise,
          masked: latents.masked,
          repaint: inputs.repaint === false ? undefined : { original: latents.original, mask: latents.mask },
          guided,
          guidanceScale,
          signal,
          onStep: (done, total) => {
            inputs.onStep?.(done, total);
            inputs.onProgress?.("denoise", done, total);
          },
          trace,
        }),
      );
      bag.hold(last);
      trace?.set("timesteps", [steps], scheduler.timesteps);
      const images = await phase("decode", () => this.#decode(last, inputs, width, height));
      const { mask, masked } = pictures;
      return { images, mask, masked, seed, width, height, steps, guidanceScale, dtype: this.#dtype, timings };
    } finally {
      bag.dispose();
      scheduler.dispose();
    }
  }

  #given(noise: { readonly shape: readonly number[]; readonly data: Float32Array }, shape: readonly number[]): Tensor {
    if (!sameShape(noise.shape, shape))
      throw new InputError("try-on", `noise is ${show(noise.shape)}, ${show(shape)} is needed`);
    return this.#fromPlanes(noise.data, shape);
  }

  /** [n, c, h, w] in PyTorch's layout as [n, h, w, c]. */
  #fromPlanes(data: Float32Array, shape: readonly number[]): Tensor {
    return this.#device.scope(() => permute(Tensor.from(this.#device, data, shape), [0, 2, 3, 1]));
  }

  /** The latents of the person, of the person behind the mask, and the mask at their size. */
  async #encodePerson(bag: Bag, { person, masked, mask }: Prepared, { samples = 1, trace }: TryOnInputs) {
    const device = this.#device;
    const encode = (image: RgbImage) =>
      bag.run(() => cast(this.#components.vae.encode(imageTensor(device, image, this.#dtype)).mode(), "f32"));
    const latents = { original: encode(person), masked: encode(masked), mask: bag.run(() => latentMask(device, mask)) };
    await device.flush();
    if (trace) {
      const copies = bag.run(() => ({
        original: repeat(latents.original, samples),
        mask: repeat(latents.mask, samples),
      }));
      await trace.add("image_ori_latents", copies.original);
      await trace.add("mask_latents", copies.mask);
    }
    return latents;
  }

  /** The garment's conditioning, kept from the last call when nothing that it depends on has changed. */
  async #conditioning(garment: RgbImage, category: Category, guided: boolean): Promise<GarmentConditioning> {
    const hash = await crypto.subtle.digest("SHA-256", garment.data as Uint8Array<ArrayBuffer>);
    const digest = [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const prompt = this.#model === "dc" ? category : ""; // the hd model's prompt does not name the category
    const key = `${digest} ${garment.width}x${garment.height} ${prompt} ${guided}`;
    if (this.#garment?.key === key) return this.#garment.conditioning;
    this.#garment?.conditioning.dispose();
    this.#garment = undefined;
    const conditioning = await encodeGarment({
      components: this.#components,
      device: this.#device,
      dtype: this.#dtype,
      model: this.#model,
      category,
      garment,
      guided,
    });
    this.#garment = { key, conditioning };
    return conditioning;
  }

  /** One sample at a time: a decoder's activations are the largest of the whole run. */
  async #decode(
    latents: Tensor,
    { signal, trace, onProgress }: TryOnInputs,
    width: number,
    height: number,
  ): Promise<RgbImage[]> {
    const { vae } = this.#components;
    const samples = latents.shape[0]!;
    const all = new Float32Array(samples * height * width * 3);
    const images: RgbImage[] = [];
    for (let i = 0; i < samples; i++) {
      signal?.throwIfAborted();
      const picture = this.#device.scope(() => {
        const one = mul(slice(latents, 0, i, i + 1), 1 / vae.config.scaling_factor);
        const decoded = cast(vae.decode(cast(one, this.#dtype)), "f32");
        return clamp(add(mul(decoded, 0.5), 0.5), 0, 1);
      });
      const values = await picture.data().finally(() => picture.dispose());
      all.set(values, i * values.length);
      images.push(fromFloat(values, width, height));
      onProgress?.("decode", i + 1, samples);
    }
    trace?.set("image", [samples, height, width, 3], all);
    return images;
  }
}

/** Pictures at the output's size, as the published system makes them: bicubic, aspect ratio ignored. */
function prepare({ person, garment, mask }: TryOnInputs, width: number, height: number): Prepared {
  const at = (image: RgbImage) =>
    image.width === width && image.height === height ? image : resize(image, width, height, "bicubic");
  const sized = mask.width === width && mask.height === height ? mask : resize(mask, width, height, "nearest");
  const binary = binarise(sized);
  if (!binary.data.some((value) => value > 0))
    throw new InputError("mask", "it is all black: there is nothing to paint");
  const whole = at(person);
  return { person: whole, garment: at(garment), mask: binary, masked: compositeGray(whole, binary, 127) };
}

/** The mask at the latents' size: every eighth pixel, 0 or 1, [1, h, w, 1]. */
function latentMask(device: Device, mask: GrayImage): Tensor {
  const [h, w] = [mask.height / 8, mask.width / 8];
  const values = Float32Array.from({ length: h * w }, (_, i) =>
    mask.data[Math.floor(i / w) * 8 * mask.width + (i % w) * 8]! > 127 ? 1 : 0,
  );
  return Tensor.from(device, values, [1, h, w, 1]);
}
