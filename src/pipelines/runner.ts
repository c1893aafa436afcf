import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { tryonScheduler, type Scheduler } from "../schedulers/create.ts";
import { add, cast, mul, permute, repeat, slice } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { EmptyMaskError, InputError } from "../util/errors.ts";
import { TorchGenerator } from "../util/random.ts";
import { sameShape, show } from "../util/shape.ts";
import type { Category } from "../vision/agnostic.ts";
import { fromFloat, type GrayImage, type RgbImage } from "../vision/image.ts";
import { pasteBack } from "../vision/paste.ts";
import { Bag } from "./bag.ts";
import type { TryOnComponents, TryOnModel } from "./components.ts";
import { encodeGarment, imageTensor, traceConditioning, type GarmentConditioning } from "./conditioning.ts";
import { denoise } from "./denoise.ts";
import { assertFinite } from "./diagnose.ts";
import type { Phase, TryOnInputs, TryOnResult } from "./inputs.ts";
import { MaskGenerator, type GeneratedMask } from "./mask.ts";
import { preparePictures, type Pictures } from "./pictures.ts";
import { resolveInputs, type TryOnSettings } from "./settings.ts";

/** Runs phases one after the other, timed and reported, none of them after an abort. */
class Phases {
  /** Milliseconds of each phase. */
  readonly timings: Record<string, number> = {};
  readonly #inputs: TryOnInputs;

  constructor(inputs: TryOnInputs) {
    this.#inputs = inputs;
  }

  async run<T>(name: Phase, work: () => Promise<T>): Promise<T> {
    this.#inputs.signal?.throwIfAborted();
    this.#inputs.onProgress?.(name, 0, 1);
    const start = performance.now();
    const result = await work();
    this.timings[name] = performance.now() - start;
    return result;
  }
}

/** The loaded networks at work. */
export class Runner {
  readonly #device: Device;
  readonly #components: TryOnComponents;
  readonly #model: TryOnModel;
  readonly #dtype: "f32" | "f16";
  readonly #masks: MaskGenerator;
  /** The last garment's conditioning: keyed by everything it depends on. */
  #garment: { readonly key: string; readonly conditioning: GarmentConditioning } | undefined;
  /** Ends when the last run that was asked for has. */
  #busy: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #freed: Promise<void> | undefined;
  readonly #disposal = new AbortController();

  constructor(device: Device, folder: Folder, components: TryOnComponents, model: TryOnModel, dtype: "f32" | "f16") {
    this.#device = device;
    this.#masks = new MaskGenerator(device, folder);
    this.#components = components;
    this.#model = model;
    this.#dtype = dtype;
  }

  /** Runs one try-on after the other: they share the garment that is kept. */
  async run(inputs: TryOnInputs): Promise<TryOnResult> {
    const settings = resolveInputs(this.#model, inputs);
    const disposal = this.#disposal.signal;
    const signal = inputs.signal ? AbortSignal.any([inputs.signal, disposal]) : disposal;
    signal.throwIfAborted();
    const turn = this.#busy;
    const mine = turn.then(() => {
      signal.throwIfAborted();
      return this.#run({ ...inputs, signal }, settings);
    });
    this.#waiting++;
    this.#busy = mine.catch(() => {}).then(() => void this.#waiting--);
    await unlessAborted(turn, signal);
    return mine;
  }

  /** Stops the run that is going on, and those that wait, and then frees everything. */
  dispose(): Promise<void> {
    if (this.#freed) return this.#freed;
    this.#disposal.abort(new InputError("try-on", "the pipeline was disposed of"));
    this.#freed = this.#waiting === 0 ? this.#free() : this.#busy.then(() => this.#free());
    return this.#freed;
  }

  async #free(): Promise<void> {
    this.#garment?.conditioning.dispose();
    this.#garment = undefined;
    const { vae, textEncoder, imageEncoder, garmentUnet, tryOnUnet } = this.#components;
    for (const module of [vae, textEncoder, imageEncoder, garmentUnet, tryOnUnet]) module.dispose();
    await this.#masks.dispose();
  }

  async #run(inputs: TryOnInputs, settings: TryOnSettings): Promise<TryOnResult> {
    const { width, height, steps, guidanceScale, seed } = settings;
    const scheduler = tryonScheduler(this.#components.scheduler, inputs.scheduler);
    const phases = new Phases(inputs);
    const bag = new Bag(this.#device);
    try {
      scheduler.setTimesteps(steps);
      const pictures = await preparePictures(inputs, settings, (person) =>
        this.#generate(person, phases, inputs, settings),
      );
      const latents = await this.#denoise(bag, phases, scheduler, pictures, inputs, settings);
      const images = await phases.run("decode", () => this.#decode(latents, inputs, width, height));
      const { mask, masked, generated, warnings, place } = pictures;
      const paste = (image: RgbImage) => pasteBack(inputs.person, image, mask, place);
      const pasted = inputs.pasteBack ? images.map(paste) : undefined;
      const made = { images, pasted, mask, masked, generated, warnings };
      return { ...made, seed, width, height, steps, guidanceScale, dtype: this.#dtype, timings: phases.timings };
    } finally {
      bag.dispose();
      scheduler.dispose();
    }
  }

  async #generate(
    person: RgbImage,
    { timings }: Phases,
    inputs: TryOnInputs,
    { category }: TryOnSettings,
  ): Promise<GeneratedMask> {
    const { maskMode: mode = "reference", maskGrow: grow = 0, protect = {}, signal, onProgress } = inputs;
    const report = (phase: Phase) => onProgress?.(phase, 0, 1);
    const shaped = { model: this.#model, category, mode, grow, protect };
    const made = await this.#masks.generate(person, { ...shaped, signal, onProgress: report });
    // cropping looks at a picture twice
    for (const [phase, ms] of Object.entries(made.timings)) timings[phase] = (timings[phase] ?? 0) + ms;
    return made;
  }

  /** Everything between the pictures and the last latents, which belong to `bag`. */
  async #denoise(
    bag: Bag,
    phases: Phases,
    scheduler: Scheduler,
    pictures: Pictures,
    inputs: TryOnInputs,
    { category, width, height, guidanceScale, guided, samples, seed }: TryOnSettings,
  ): Promise<Tensor> {
    const { trace, signal } = inputs;
    // one generator draws all of a run's noise in PyTorch's order, so that a seed gives the reference's picture
    const generator = new TorchGenerator(seed);
    const { scale, config } = this.#components.vae;
    const latentShape = [samples, config.latent_channels, height / scale, width / scale];
    const drawNoise = () => this.#fromPlanes(generator.randn(latentShape), latentShape);
    const noise = bag.run(() => (inputs.noise ? this.#given(inputs.noise, latentShape) : drawNoise()));
    await trace?.add("noise", noise);
    const { original, masked, mask } = await phases.run("encode", () => this.#encodePerson(bag, pictures, inputs));
    const conditioning = await phases.run("garment", () =>
      this.#conditioning(pictures.garment, category, guided, !!trace),
    );
    if (trace) await traceConditioning(trace, conditioning.shown, samples);
    const onStep = (done: number, total: number) => {
      inputs.onStep?.(done, total);
      inputs.onProgress?.("denoise", done, total);
    };
    trace?.set("timesteps", [scheduler.timesteps.length], scheduler.timesteps);
    const repaint = inputs.repaint === false ? undefined : { original, mask };
    const [device, components, dtype] = [this.#device, this.#components, this.#dtype];
    const shared = { device, dtype, components, conditioning, scheduler, noise, drawNoise, masked, repaint };
    return bag.hold(
      await phases.run("denoise", () => denoise({ ...shared, guided, guidanceScale, signal, onStep, trace })),
    );
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
  async #encodePerson(bag: Bag, { person, masked, mask }: Pictures, { samples = 1, trace }: TryOnInputs) {
    const device = this.#device;
    const { scale } = this.#components.vae;
    const encode = (image: RgbImage) =>
      bag.run(() => cast(this.#components.vae.encode(imageTensor(device, image, this.#dtype)).mode(), "f32"));
    const latents = {
      original: encode(person),
      masked: encode(masked),
      mask: bag.run(() => latentMask(device, mask, scale)),
    };
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
  async #conditioning(
    garment: RgbImage,
    category: Category,
    guided: boolean,
    traced: boolean,
  ): Promise<GarmentConditioning> {
    const hash = await crypto.subtle.digest("SHA-256", garment.data as Uint8Array<ArrayBuffer>);
    const digest = [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const prompt = this.#model === "dc" ? category : ""; // the hd model's prompt does not name the category
    const key = `${digest} ${garment.width}x${garment.height} ${prompt} ${guided} ${traced}`;
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
      traced,
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
    const samples = latents.shape[0]!;
    const pixels = height * width * 3;
    const all = trace && new Float32Array(samples * pixels);
    const images: RgbImage[] = [];
    for (let i = 0; i < samples; i++) {
      signal?.throwIfAborted();
      const again = () => this.#device.scope(() => this.#picture(latents, i));
      const picture = again();
      try {
        // clamping makes black of a NaN on many devices, so it is looked for first
        await assertFinite(picture, `decode, sample ${i}`, this.#components.vae, again);
        const values = await picture.data();
        all?.set(
          values.map((value) => Math.min(Math.max(value, 0), 1)),
          i * pixels,
        );
        images.push(fromFloat(values, width, height));
      } finally {
        picture.dispose();
      }
      onProgress?.("decode", i + 1, samples);
    }
    if (all) trace?.set("image", [samples, height, width, 3], all);
    return images;
  }

  /** One sample's picture around 0…1, [1, h, w, 3]. */
  #picture(latents: Tensor, sample: number): Tensor {
    const { vae } = this.#components;
    const one = mul(slice(latents, 0, sample, sample + 1), 1 / vae.config.scaling_factor);
    const decoded = cast(vae.decode(cast(one, this.#dtype)), "f32");
    return add(mul(decoded, 0.5), 0.5);
  }
}

/** Waits for `turn`, but no longer than until the signal comes. */
async function unlessAborted(turn: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
  });
  await Promise.race([turn, aborted]).finally(() => signal.removeEventListener("abort", stop));
}

/** The mask at the latents' size: the first pixel of every `scale`, 0 or 1, [1, h, w, 1]. */
function latentMask(device: Device, mask: GrayImage, scale: number): Tensor {
  const [h, w] = [mask.height / scale, mask.width / scale];
  const values = Float32Array.from({ length: h * w }, (_, i) =>
    mask.data[Math.floor(i / w) * scale * mask.width + (i % w) * scale]! > 127 ? 1 : 0,
  );
  if (!values.includes(1))
    throw new EmptyMaskError("mask", `too small to paint: nothing of it is left in latents of ${w}x${h}`);
  return Tensor.from(device, values, [1, h, w, 1]);
}
