import type { ByteSource, Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { configuredScheduler, type Scheduler } from "../schedulers/create.ts";
import { cast, concat, mul, repeat, slice } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { TorchGenerator } from "../util/random.ts";
import { Bag } from "./bag.ts";
import { checkInputs } from "./check.ts";
import { decode } from "./decode.ts";
import { denoise, type Repaint } from "./denoise.ts";
import type { GenerationInputs, GenerationResult, GenerationSettings } from "./generation.ts";
import type { Phase } from "./inputs.ts";
import { fromPlanes } from "./latents.ts";
import { checkDevice, storageType, type StorageType } from "./load.ts";
import { LoraAdapters, type FuseOptions, type LoraOptions } from "./lora.ts";
import { Phases } from "./phases.ts";
import { encodeTexts, truncationWarnings } from "./prompt.ts";
import {
  loadStableDiffusion,
  openLora,
  type ComponentOptions,
  type StableDiffusionComponents,
} from "./sd_components.ts";
import { Turns } from "./turns.ts";

/** A checkpoint: diffusers' layout in a folder, or one CompVis file; in Node also the path of either. */
export type StableDiffusionFiles = Folder | ByteSource | string;

/** How Stable Diffusion is loaded. Only `device` is needed. */
export interface StableDiffusionOptions extends Omit<ComponentOptions, "dtype" | "onProgress"> {
  /** Where the networks go: `requestDevice()`. */
  readonly device: Device;
  /** Storage type; `auto` is f16 on GPUs that have it, else f32. */
  readonly dtype?: "auto" | StorageType;
  /** Called as tensors are loaded: `done` of `total` of the phase `load`. */
  readonly onProgress?: (phase: Phase, done: number, total: number) => void;
}

/** What a pipeline begins its denoising with. */
export interface Start {
  /** [samples, h, w, c] f32 at the noise level of step `first`. */
  readonly latents: Tensor;
  readonly first: number;
  /** What the UNet reads beside the latents, [1, h, w, c]. */
  readonly extra?: Tensor;
  readonly repaint?: Repaint;
}

/** What a pipeline makes its start from. */
export interface Workplace {
  readonly device: Device;
  readonly components: StableDiffusionComponents;
  readonly scheduler: Scheduler;
  readonly settings: GenerationSettings;
  /** Owns what is made. */
  readonly bag: Bag;
  /** The next noise of the run's generator, [samples, h, w, c] f32. Draws come in diffusers' order. */
  drawNoise(): Tensor;
  /** A picture of the output's size, numbers in -1…1, as a sample of its latents, scaled: [1, h, w, c] f32. Draws noise. */
  encode(pixels: Float32Array): Tensor;
}

/** The networks of Stable Diffusion 1 (Rombach et al. 2022, arXiv 2112.10752), which its pipelines share. */
export class StableDiffusion {
  /** Where the networks are. */
  readonly device: Device;
  /** Storage type of the networks. */
  readonly dtype: StorageType;
  /** The networks, the tokenizer and the scheduler's configuration. */
  readonly components: StableDiffusionComponents;
  readonly #lora: LoraAdapters;
  readonly #turns = new Turns("stable diffusion");

  constructor(device: Device, dtype: StorageType, components: StableDiffusionComponents) {
    [this.device, this.dtype, this.components] = [device, dtype, components];
    this.#lora = new LoraAdapters(device, { unet: components.unet, text_encoder: components.textEncoder });
  }

  /**
   * Loads the networks of a folder in diffusers' layout or of one CompVis file.
   * @throws InputError, WeightsError, FormatError naming file and tensor
   */
  static async load(files: StableDiffusionFiles, options: StableDiffusionOptions): Promise<StableDiffusion> {
    const device = checkDevice("stable diffusion", options?.device);
    const dtype = storageType("stable diffusion", device.facts, options.dtype);
    const onProgress = (done: number, total: number) => options.onProgress?.("load", done, total);
    return new StableDiffusion(
      device,
      dtype,
      await loadStableDiffusion(device, files, { ...options, dtype, onProgress }),
    );
  }

  /**
   * Loads a LoRA file (Hu et al. 2021, arXiv 2106.09685) in PEFT's, diffusers' or kohya's names. It is active at once
   * with weight 1, beside those that were. PEFT's own files need the adapter_config.json in their folder, for its alpha.
   * @param file or a folder that holds adapter_model.safetensors or pytorch_lora_weights.safetensors
   * @returns the names of tensors that were passed over, with `strict: false`
   * @throws WeightsError that lists tensors that fit nothing; InputError for what is no file
   */
  loadLoraWeights(file: Folder | ByteSource | string, options: LoraOptions = {}): Promise<string[]> {
    const open = () => openLora(this.device, file);
    return this.#turns.run(undefined, () => this.#lora.load(open, options));
  }

  /** Makes these the active adapters, with a weight each (1). None: the checkpoint alone, bit by bit. */
  setAdapters(names: string | readonly string[], weights?: number | readonly number[]): Promise<void> {
    return this.#turns.run(undefined, () => this.#lora.setAdapters(names, weights));
  }

  /** Fixes the active adapters at `loraScale` times their weights until `unfuseLora`. */
  fuseLora(options: FuseOptions = {}): Promise<void> {
    return this.#turns.run(undefined, () => this.#lora.fuse(options));
  }

  /** Back to what was before `fuseLora`, bit by bit. */
  unfuseLora(): Promise<void> {
    return this.#turns.run(undefined, () => this.#lora.unfuse());
  }

  /** Forgets every adapter: the checkpoint's own weights, bit by bit. */
  unloadLoraWeights(): Promise<void> {
    return this.#turns.run(undefined, () => this.#lora.unload());
  }

  /** Stops the run that is going on, and those that wait, and frees everything. */
  dispose(): Promise<void> {
    return this.#turns.dispose(() => {
      this.#lora.dispose();
      const { unet, vae, textEncoder } = this.components;
      for (const module of [unet, vae, textEncoder]) module.dispose();
    });
  }

  /** One run after the other: LoRA changes the weights that they read. */
  generate(
    inputs: GenerationInputs,
    settings: GenerationSettings,
    prepare: (workplace: Workplace) => Promise<Start>,
  ): Promise<GenerationResult> {
    return this.#turns.run(inputs.signal, (signal) => this.#run({ ...inputs, signal }, settings, prepare));
  }

  async #run(
    inputs: GenerationInputs,
    settings: GenerationSettings,
    prepare: (workplace: Workplace) => Promise<Start>,
  ): Promise<GenerationResult> {
    const { device, dtype, components } = this;
    const { prompt, negativePrompt, guided, guidanceScale, steps, samples, seed, width, height } = settings;
    const scheduler = configuredScheduler(components.scheduler, inputs.scheduler);
    const listener = { signal: inputs.signal, onProgress: inputs.onProgress };
    const phases = new Phases(listener);
    const bag = new Bag(device);
    try {
      scheduler.setTimesteps(steps);
      const prompts = guided ? { prompt, "negative prompt": negativePrompt } : { prompt };
      const warnings = [...this.#lora.warnings, ...truncationWarnings(components, prompts)];
      const text = await phases.run("prompt", async () => {
        const hidden = encodeTexts(device, components, guided ? [prompt, negativePrompt] : [prompt]);
        bag.hold(hidden);
        return bag.hold(device.scope(() => components.unet.encodeText(guided ? spread(hidden, samples) : hidden)));
      });
      const workplace = this.#workplace(bag, scheduler, settings);
      const start = await phases.run("encode", () => prepare(workplace));
      const onStep = (done: number, total: number) => {
        inputs.onStep?.(done, total);
        inputs.onProgress?.("denoise", done, total);
      };
      const { unet, vae } = components;
      const { drawNoise } = workplace;
      const run = { device, dtype, unet, text, scheduler, drawNoise, guided, guidanceScale, onStep, ...start };
      const latents = bag.hold(await phases.run("denoise", () => denoise({ ...run, signal: inputs.signal })));
      const images = await phases.run("decode", () => decode({ device, vae, latents, ...listener }));
      return { images, seed, width, height, steps, guidanceScale, dtype, timings: phases.timings, warnings };
    } finally {
      bag.dispose();
      scheduler.dispose();
    }
  }

  #workplace(bag: Bag, scheduler: Scheduler, settings: GenerationSettings): Workplace {
    const { device, dtype, components } = this;
    const { vae } = components;
    // one generator draws all of a run's noise in PyTorch's order, so that a seed gives diffusers' picture
    const generator = new TorchGenerator(settings.seed);
    const [h, w, c] = [settings.height / vae.scale, settings.width / vae.scale, vae.config.latent_channels];
    const draw = (n: number) => fromPlanes(device, generator.randn([n, c, h, w]), [n, c, h, w]);
    const size = [1, settings.height, settings.width, vae.config.in_channels];
    const encode = (pixels: Float32Array) =>
      bag.run(() => {
        const image = cast(Tensor.from(device, pixels, size), dtype);
        const sample = vae.encode(image).sample(cast(draw(1), dtype));
        return mul(cast(sample, "f32"), vae.config.scaling_factor);
      });
    return { device, components, scheduler, settings, bag, drawNoise: () => draw(settings.samples), encode };
  }
}

/** [with; without] as one of each per sample: [with…; without…]. */
const spread = (hidden: Tensor, samples: number): Tensor =>
  concat([repeat(slice(hidden, 0, 0, 1), samples), repeat(slice(hidden, 0, 1, 2), samples)], 0);

/** A pipeline: a function from a call's inputs to pictures, with the networks' life and their LoRA adapters. */
export interface GenerationPipeline<I> extends Pick<
  StableDiffusion,
  | "device"
  | "dtype"
  | "components"
  | "loadLoraWeights"
  | "setAdapters"
  | "fuseLora"
  | "unfuseLora"
  | "unloadLoraWeights"
  | "dispose"
> {
  (inputs: I): Promise<GenerationResult>;
}

export function pipelineOf<I>(
  model: StableDiffusion,
  call: (inputs: I) => Promise<GenerationResult>,
): GenerationPipeline<I> {
  const checked = async (inputs: I) => {
    checkInputs("generate", inputs, "{ prompt: … }");
    return call(inputs);
  };
  return Object.assign(checked, {
    device: model.device,
    dtype: model.dtype,
    components: model.components,
    loadLoraWeights: model.loadLoraWeights.bind(model),
    setAdapters: model.setAdapters.bind(model),
    fuseLora: model.fuseLora.bind(model),
    unfuseLora: model.unfuseLora.bind(model),
    unloadLoraWeights: model.unloadLoraWeights.bind(model),
    dispose: model.dispose.bind(model),
  });
}

/** A pipeline's `fromPretrained`: loads the networks of a checkpoint for it alone. */
export const pretrained =
  <I>(make: (model: StableDiffusion) => GenerationPipeline<I>) =>
  async (files: StableDiffusionFiles, options: StableDiffusionOptions): Promise<GenerationPipeline<I>> =>
    make(await StableDiffusion.load(files, options));
