import { dryDevice } from "../gpu/dry.ts";
import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { CLIPTextModel } from "../models/clip/text.ts";
import { CLIPVisionModelWithProjection } from "../models/clip/vision.ts";
import { Concat } from "../models/unet/fusion.ts";
import { UNet2DConditionModel } from "../models/unet/unet.ts";
import { AutoencoderKL } from "../models/vae/vae.ts";
import type { Module } from "../nn/module.ts";
import { loadPlaceholders } from "../nn/placeholders.ts";
import { cast, concat } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Bag } from "./bag.ts";
import { picture } from "./decode.ts";
import { predictNoise } from "./denoise.ts";

/** The networks of a try-on. */
export interface TryOnNetworks {
  readonly vae: AutoencoderKL;
  readonly textEncoder: CLIPTextModel;
  readonly imageEncoder: CLIPVisionModelWithProjection;
  readonly garmentUnet: UNet2DConditionModel;
  readonly tryOnUnet: UNet2DConditionModel;
}

/** The config.json of each. */
export interface TryOnConfigs {
  readonly vae: unknown;
  readonly textEncoder: unknown;
  readonly imageEncoder: unknown;
  readonly garmentUnet: unknown;
  readonly tryOnUnet: unknown;
}

/** Stable Diffusion 1.5's sizes and CLIP ViT-L/14's, which the published checkpoints have. */
export const PUBLISHED: TryOnConfigs = {
  vae: {},
  textEncoder: { hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12, projection_dim: 768 },
  imageEncoder: {
    ...{ hidden_size: 1024, intermediate_size: 4096, num_attention_heads: 16, num_hidden_layers: 24 },
    ...{ patch_size: 14, projection_dim: 768 },
  },
  garmentUnet: { in_channels: 4 },
  tryOnUnet: { in_channels: 8 },
};

const LARGEST = 2 ** 32 - 4; // bytes of a buffer and of a binding, as most drivers have it

/** For planning where there is no adapter. */
export const TYPICAL_GPU: DeviceFacts = {
  name: "a usual GPU (there is no adapter here)",
  vendor: "",
  architecture: "",
  description: "",
  isSoftware: false,
  f16: true,
  timestamps: false,
  subgroupSize: 32,
  pinned: false,
  subgroupMatrix: [],
  matrixSyntax: undefined,
  features: ["shader-f16", "subgroups"],
  limits: {
    maxBufferSize: LARGEST,
    maxStorageBufferBindingSize: LARGEST,
    maxComputeWorkgroupsPerDimension: 65535,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupStorageSize: 32768,
    minStorageBufferOffsetAlignment: 256,
    minUniformBufferOffsetAlignment: 256,
  },
};

/** A run whose memory is asked for. */
export interface MemoryQuestion {
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  /** Pictures. */
  readonly samples: number;
  /** Storage type of the networks. */
  readonly dtype: "f32" | "f16";
  /** Whether there is guidance: a scale of 1 or more. */
  readonly guided: boolean;
  /** Halves of the guidance in one batch: 2, or 1 after the other. */
  readonly guidanceBatch: 1 | 2;
  /** Worn at once. Default 1. */
  readonly garments?: number;
}

/** Memory of one phase of a run, in bytes. */
export interface PhaseMemory {
  readonly phase: "clip" | "encode" | "garment" | "project" | "denoise" | "decode";
  /** Of the networks that the phase runs. */
  readonly weights: number;
  /** Of what earlier phases left for this one and later ones. */
  readonly held: number;
  /** Of the phase's own tensors, as planned. */
  readonly activations: number;
  /** The most of those that is in use at one moment. */
  readonly bound: number;
}

/** What a run takes of the device's memory, in bytes. */
export interface TryOnMemory {
  /** In the order in which they come. */
  readonly phases: readonly PhaseMemory[];
  /** Of all networks. */
  readonly weights: number;
  /** The most of a run with all networks on the device, and with those of one phase at a time. */
  readonly peak: { readonly resident: number; readonly offloaded: number };
}

/** What a try-on with these networks needs of a device's memory. */
export const planFor = (facts: DeviceFacts, question: MemoryQuestion, networks: TryOnNetworks): TryOnMemory =>
  planTryOn(facts, question, {
    vae: networks.vae.config,
    textEncoder: networks.textEncoder.config,
    imageEncoder: networks.imageEncoder.config,
    garmentUnet: networks.garmentUnet.config,
    tryOnUnet: networks.tryOnUnet.config,
  });

/** What a try-on needs of a device's memory, by a pass over networks without weights on a device without memory. */
export const planTryOn = (facts: DeviceFacts, question: MemoryQuestion, configs = PUBLISHED): TryOnMemory =>
  planOn(dryDevice(facts), question, configs);

/**
 * The same on a given device without memory.
 * @param onPhase - is told when a phase begins
 */
export function planOn(
  device: Device,
  question: MemoryQuestion,
  configs: TryOnConfigs,
  onPhase?: (phase: PhaseMemory["phase"]) => void,
): TryOnMemory {
  const networks = {
    vae: new AutoencoderKL(configs.vae),
    textEncoder: new CLIPTextModel(configs.textEncoder),
    imageEncoder: new CLIPVisionModelWithProjection(configs.imageEncoder),
    garmentUnet: new UNet2DConditionModel(configs.garmentUnet),
    tryOnUnet: new UNet2DConditionModel(configs.tryOnUnet),
  };
  const sizes = new Map<Module, number>();
  for (const network of Object.values(networks)) {
    const before = device.memory.bytes;
    loadPlaceholders(device, network, question.dtype);
    sizes.set(network, device.memory.bytes - before);
  }
  const weights = device.memory.bytes;
  const phases = new Plan(device, sizes, onPhase).phases(networks, question);
  const most = (of: (phase: PhaseMemory) => number) => Math.max(...phases.map((phase) => of(phase) + phase.held));
  const resident = weights + most(({ activations }) => activations);
  return { phases, weights, peak: { resident, offloaded: most((phase) => phase.weights + phase.activations) } };
}

/** The phases of a run, each recorded with the tensors that it finds and leaves as they are in a run. */
class Plan {
  readonly #device: Device;
  readonly #sizes: ReadonlyMap<Module, number>;
  readonly #weights: number;
  readonly #onPhase: ((phase: PhaseMemory["phase"]) => void) | undefined;

  constructor(device: Device, sizes: ReadonlyMap<Module, number>, onPhase?: (phase: PhaseMemory["phase"]) => void) {
    this.#device = device;
    this.#sizes = sizes;
    this.#weights = device.memory.bytes;
    this.#onPhase = onPhase;
  }

  phases(
    networks: TryOnNetworks,
    { width, height, samples, dtype, guided, guidanceBatch, garments = 1 }: MemoryQuestion,
  ): PhaseMemory[] {
    const { vae, textEncoder, imageEncoder, garmentUnet, tryOnUnet } = networks;
    const device = this.#device;
    const bag = new Bag(device);
    const { latent_channels: channels } = vae.config;
    const [h, w] = [height / vae.scale, width / vae.scale];
    const halves: 1 | 2 = guided ? 2 : 1;
    const hold = (shape: number[], type: "f32" | "f16" | "i32" = dtype) => {
      const tensor = bag.run(() => Tensor.empty(device, shape, type));
      void tensor.view.buffer;
      return tensor;
    };
    const { image_size: side } = imageEncoder.config;
    const extra = hold([1, h, w, channels], "f32");
    for (const _ of ["person", "noise of each sample"]) hold([samples, h, w, channels], "f32");
    const image = bag.hold(Tensor.zeros(device, [1, height, width, 3], dtype));
    const encode = this.#measure("encode", [vae], () => vae.encode(image).mode());
    const [pixels, ids] = [hold([1, side, side, 3]), hold([1, 3], "i32")];
    const clip = this.#measure("clip", [textEncoder, imageEncoder], () => [
      imageEncoder.forward(pixels).imageEmbeds,
      textEncoder.forward(ids).lastHiddenState,
    ]);
    for (const tensor of [image, pixels, ids]) bag.drop(tensor);
    const prompt = hold([1, 3, tryOnUnet.config.cross_attention_dim]);
    const latents = hold([halves, h, w, channels]);
    const zero = bag.hold(device.scope(() => garmentUnet.encodeTime([0]).keep()));
    const prompts = bag.hold(device.scope(() => garmentUnet.encodeText(prompt).keep()));
    const features = () => garmentUnet.features(latents, zero.at(0), prompts);
    const worn = Array.from({ length: garments - 1 }, () => bag.run(features));
    const garment = this.#measure("garment", [garmentUnet], features); // the last one, with the others' tokens kept
    worn.push(bag.run(features));
    const fusion = bag.hold(new Concat(...worn));
    fusion.prepare(tryOnUnet.transformerBlocks());
    const text = bag.hold(device.scope(() => tryOnUnet.encodeText(prompt).keep()));
    const project = { ...this.#found("project", [tryOnUnet]), activations: 0, bound: 0 }; // held says it all
    for (const item of [...worn.flat(), prompt, latents, zero, prompts]) bag.drop(item);
    const time = bag.hold(device.scope(() => tryOnUnet.encodeTime([1]).chosen().keep()));
    const scaled = hold([samples, h, w, channels]);
    const beside = bag.run(() =>
      concat(
        Array.from({ length: samples }, () => cast(extra, dtype)),
        0,
      ),
    );
    const network = { unet: tryOnUnet, scaled, beside, time, text, fusion, halves, guidanceBatch };
    const denoise = this.#measure("denoise", [tryOnUnet], () => predictNoise(network));
    const one = hold([1, h, w, channels]);
    const decode = this.#measure("decode", [vae], () => picture(vae, one));
    return [encode, clip, garment, project, denoise, decode];
  }

  #measure(phase: PhaseMemory["phase"], networks: readonly Module[], work: () => unknown): PhaseMemory {
    const found = this.#found(phase, networks);
    const recording = this.#device.record(work);
    const { bytes, bound } = recording.memory;
    recording.dispose();
    return { ...found, activations: bytes, bound };
  }

  #found(phase: PhaseMemory["phase"], networks: readonly Module[]) {
    this.#onPhase?.(phase);
    const weights = networks.reduce((sum, network) => sum + this.#sizes.get(network)!, 0);
    return { phase, weights, held: this.#device.memory.bytes - this.#weights };
  }
}
