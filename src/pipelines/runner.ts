import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { concatenation } from "../models/fusion/strategies.ts";
import type { FusionStrategy } from "../models/fusion/strategy.ts";
import { tryonScheduler, type Scheduler } from "../schedulers/create.ts";
import { cast, mul, repeat } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { InputError } from "../util/errors.ts";
import { TorchGenerator } from "../util/random.ts";
import { sameShape, show } from "../util/shape.ts";
import type { Category } from "../vision/agnostic.ts";
import type { RgbImage } from "../vision/image.ts";
import { pasteBack } from "../vision/paste.ts";
import { Bag } from "./bag.ts";
import { Budget } from "./budget.ts";
import type { TryOnComponents, TryOnModel } from "./components.ts";
import {
  encodeGarments,
  imageTensor,
  traceConditioning,
  type Garment,
  type GarmentConditioning,
} from "./conditioning.ts";
import { decode } from "./decode.ts";
import { denoise } from "./denoise.ts";
import type { Phase, TryOnInputs, TryOnResult } from "./inputs.ts";
import { MaskGenerator, unitedMasks, type GeneratedMask } from "./mask.ts";
import { fromPlanes, latentMask, latentRegion } from "./latents.ts";
import { Phases } from "./phases.ts";
import { preparePictures, type Pictures } from "./pictures.ts";
import { previewer } from "./preview.ts";
import { resolveInputs, type TryOnSettings } from "./settings.ts";
import { Turns } from "./turns.ts";

/** The loaded networks at work. */
export class Runner {
  readonly #device: Device;
  readonly #components: TryOnComponents;
  readonly #model: TryOnModel;
  readonly #dtype: "f32" | "f16";
  readonly #masks: MaskGenerator;
  /** The last garments' conditioning: keyed by everything it depends on. */
  #garment: Kept | undefined;
  readonly #budget: Budget;
  readonly #turns = new Turns("try-on");

  constructor(
    device: Device,
    folder: Folder,
    components: TryOnComponents,
    model: TryOnModel,
    dtype: "f32" | "f16",
    budget = new Budget(device.facts),
  ) {
    this.#device = device;
    this.#masks = new MaskGenerator(device, folder);
    this.#components = components;
    this.#model = model;
    this.#dtype = dtype;
    this.#budget = budget;
  }

  /** Runs one try-on after the other: they share the garment that is kept. */
  async run(inputs: TryOnInputs): Promise<TryOnResult> {
    const settings = resolveInputs(this.#model, inputs);
    return this.#turns.run(inputs.signal, (signal) => this.#run({ ...inputs, signal }, settings));
  }

  /** Stops the run that is going on, and those that wait, and then frees everything. */
  dispose(): Promise<void> {
    return this.#turns.dispose(() => this.#free());
  }

  /** Frees what was kept of the last garment and the mask generator's networks. */
  async forget(): Promise<void> {
    this.#garment?.conditioning.dispose();
    this.#garment = undefined;
    await this.#masks.dispose();
  }

  async #free(): Promise<void> {
    this.#components.residency.dispose(); // at once, without a wait
    await this.forget();
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
      const [device, vae] = [this.#device, this.#components.vae];
      const images = await phases.run("decode", async () => {
        await this.#components.residency.only(vae);
        return decode({ device, vae, latents, ...inputs });
      });
      const { mask, masked, garments, generated, place } = pictures;
      const { note } = this.#garment!.conditioning;
      const warnings = note === undefined ? pictures.warnings : [...pictures.warnings, note];
      const paste = (image: RgbImage) => pasteBack(inputs.person, image, mask, place);
      const pasted = inputs.pasteBack ? images.map(paste) : undefined;
      const made = { images, pasted, mask, masked, garments, generated, warnings };
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
    const shaped = { model: this.#model, mode, grow, protect, signal, onProgress: report };
    const worn = [category, ...(inputs.moreGarments ?? []).map((more) => more.category)];
    const made = new Map<Category, GeneratedMask>();
    for (const each of new Set(worn)) made.set(each, await this.#masks.generate(person, { ...shaped, category: each }));
    // cropping looks at a picture twice
    for (const own of made.values())
      for (const [phase, ms] of Object.entries(own.timings)) timings[phase] = (timings[phase] ?? 0) + ms;
    return unitedMasks(worn.map((each) => made.get(each)!));
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
    const drawNoise = () => fromPlanes(this.#device, generator.randn(latentShape), latentShape);
    const noise = bag.run(() => (inputs.noise ? this.#given(inputs.noise, latentShape) : drawNoise()));
    await trace?.add("noise", noise);
    const { original, masked, mask } = await phases.run("encode", () => this.#encodePerson(bag, pictures, inputs));
    const categories = [category, ...(inputs.moreGarments ?? []).map((more) => more.category)];
    const garments = pictures.garments.map((garment, i) => ({ garment, category: categories[i]! }));
    const { fusion: strategy = concatenation } = inputs;
    const wanted = { garments, strategy, guided, traced: !!trace };
    const conditioning = await phases.run("garment", () => this.#conditioning(wanted));
    if (trace) await traceConditioning(trace, conditioning.shown, samples);
    const onStep = (done: number, total: number) => {
      inputs.onStep?.(done, total);
      inputs.onProgress?.("denoise", done, total);
    };
    trace?.set("timesteps", [scheduler.timesteps.length], scheduler.timesteps);
    const factor = config.scaling_factor;
    const repaint = inputs.repaint === false ? undefined : { clean: bag.run(() => mul(original, factor)), noise, mask };
    const latents = bag.run(() => mul(noise, scheduler.initNoiseSigma));
    const [device, dtype, unet] = [this.#device, this.#dtype, this.#components.tryOnUnet];
    const { text, fusion, module } = conditioning;
    const network = { device, dtype, unet, text, fusion, regions: this.#regions(bag, pictures), extra: masked };
    const guidanceBatch = this.#guidanceBatch(inputs, { width, height, samples, guided });
    const guidance = { guided, guidanceScale, guidanceBatch };
    const onExpected =
      inputs.onPreview && (await previewer(original, factor, pictures.person, scale, inputs.onPreview));
    const run = { scheduler, latents, drawNoise, repaint, ...guidance, signal, onStep, onExpected, trace };
    const work = async () => {
      await this.#components.residency.only(unet, ...(module ? [module] : []));
      return denoise({ ...network, ...run });
    };
    return bag.hold(await phases.run("denoise", work));
  }

  #guidanceBatch(
    { guidanceBatch = "auto", moreGarments = [] }: TryOnInputs,
    size: Pick<TryOnSettings, "width" | "height" | "samples" | "guided">,
  ): 1 | 2 {
    if (guidanceBatch !== "auto") return guidanceBatch;
    const question = { ...size, dtype: this.#dtype, guidanceBatch: 2, garments: 1 + moreGarments.length } as const;
    return this.#budget.guidanceBatch(this.#components, question, this.#components.residency.offloads);
  }

  #given(noise: { readonly shape: readonly number[]; readonly data: Float32Array }, shape: readonly number[]): Tensor {
    if (!sameShape(noise.shape, shape))
      throw new InputError("try-on", `noise is ${show(noise.shape)}, ${show(shape)} is needed`);
    return fromPlanes(this.#device, noise.data, shape);
  }

  /** The latents of the person, of the person behind the mask, and the mask at their size. */
  async #encodePerson(bag: Bag, { person, masked, mask }: Pictures, { samples = 1, trace }: TryOnInputs) {
    const device = this.#device;
    const { scale } = this.#components.vae;
    await this.#components.residency.only(this.#components.vae);
    const encode = (image: RgbImage) =>
      bag.run(() => {
        const pixels = imageTensor(device, image, this.#components.vae.dtype);
        return device.planned(() => cast(this.#components.vae.encode(pixels).mode(), "f32"));
      });
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

  /** Where each garment may go, at the latents' size. */
  #regions(bag: Bag, { regions }: Pictures): Tensor[] {
    return regions.map((region) => {
      const { values, h, w } = latentRegion(region, this.#components.vae.scale);
      return bag.run(() => Tensor.from(this.#device, values, [1, h, w, 1]));
    });
  }

  /** The garments' conditioning, kept from the last call when nothing that it depends on has changed. */
  async #conditioning(wanted: Wanted): Promise<GarmentConditioning> {
    const { garments, strategy, guided, traced } = wanted;
    const each = await Promise.all(garments.map((garment) => this.#keyOf(garment)));
    const key = `${each.join(" ")} ${guided} ${traced}`;
    if (this.#garment?.key === key && this.#garment.strategy === strategy) return this.#garment.conditioning;
    const before = this.#garment;
    this.#garment = undefined;
    before?.conditioning.dispose();
    const [components, device, model] = [this.#components, this.#device, this.#model];
    const conditioning = await encodeGarments({ components, device, model, ...wanted });
    this.#garment = { key, strategy, conditioning };
    return conditioning;
  }

  async #keyOf({ garment, category }: Garment): Promise<string> {
    const hash = await crypto.subtle.digest("SHA-256", garment.data as Uint8Array<ArrayBuffer>);
    const digest = [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const prompt = this.#model === "dc" ? category : ""; // the hd model's prompt does not name the category
    return `${digest} ${garment.width}x${garment.height} ${prompt}`;
  }
}

/** What a conditioning is made from. */
interface Wanted {
  readonly garments: readonly Garment[];
  readonly strategy: FusionStrategy;
  readonly guided: boolean;
  readonly traced: boolean;
}

interface Kept {
  readonly key: string;
  readonly strategy: FusionStrategy;
  readonly conditioning: GarmentConditioning;
}
