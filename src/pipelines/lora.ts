import { readLora, type LoraUpdate, type ReadLoraOptions } from "../checkpoint/lora.ts";
import type { LoraNetwork } from "../checkpoint/lora_names.ts";
import type { ByteSource } from "../checkpoint/source.ts";
import { openTensors } from "../checkpoint/tensors.ts";
import type { Device } from "../gpu/device.ts";
import type { Module, Parameter } from "../nn/module.ts";
import { matmul, mul } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { uploadWeight } from "../tensor/upload.ts";
import { InputError } from "../util/errors.ts";

/** How a LoRA is loaded. */
export interface LoraOptions {
  /** What `setAdapters` calls it. Default `default_0`, `default_1`, …: the first that is free. */
  readonly adapterName?: string;
  /** Whether a tensor that fits nothing is an error. Default true. */
  readonly strict?: boolean;
  /** What divided by the rank scales it, where neither the file nor an adapter_config.json beside it says so. */
  readonly alpha?: number;
}

/** How adapters are fused. */
export interface FuseOptions {
  /** By which all weights are multiplied. Default 1. */
  readonly loraScale?: number;
}

const OP = "lora";

/** A LoRA file, opened. */
export interface OpenedLora extends Pick<ReadLoraOptions, "config"> {
  readonly file: ByteSource;
}

interface Adapter {
  readonly updates: readonly LoraUpdate[];
  readonly warnings: readonly string[];
  /** 0: not active. */
  weight: number;
}

/**
 * LoRA adapters of loaded networks. A module under the influence of one has its weight replaced by
 * W + Σ weight · alpha / rank · up · down, summed in float32 from the checkpoint's own W, which is kept on the device:
 * taking adapters away puts back the very same bits, and a step costs what it costs without.
 */
export class LoraAdapters {
  readonly #device: Device;
  readonly #parameters: Readonly<Record<LoraNetwork, ReadonlyMap<string, Parameter>>>;
  readonly #adapters = new Map<string, Adapter>();
  /** Weights as the checkpoint has them, of the parameters that are changed now. */
  readonly #originals = new Map<Parameter, Tensor>();
  #fusedScale: number | undefined;

  constructor(device: Device, networks: Readonly<Record<LoraNetwork, Module>>) {
    const matrices = (module: Module) => new Map([...module.parameters()].filter(([, { kind }]) => kind === "matrix"));
    this.#device = device;
    this.#parameters = { unet: matrices(networks.unet), text_encoder: matrices(networks.text_encoder) };
  }

  /** Opens a file, reads it and makes it active. @returns names passed over, with `strict: false` */
  async load(open: () => Promise<OpenedLora>, { adapterName, strict, alpha }: LoraOptions): Promise<string[]> {
    this.#refuseFused("a LoRA cannot be loaded");
    const name = adapterName ?? this.#freeName();
    if (this.#adapters.has(name)) throw new InputError(OP, `there is an adapter "${name}" already`);
    const shapes = (network: LoraNetwork) =>
      new Map([...this.#parameters[network]].map(([key, { shape }]) => [key, shape]));
    const { file, config } = await open();
    const source = await openTensors(file);
    try {
      const targets = { unet: shapes("unet"), text_encoder: shapes("text_encoder") };
      const { updates, ignored, warnings } = await readLora(source, targets, { strict, alpha, config });
      this.#adapters.set(name, { updates, warnings, weight: 1 });
      try {
        await this.#apply();
      } catch (error) {
        this.#adapters.delete(name);
        throw error;
      }
      return ignored;
    } finally {
      await source.close();
    }
  }

  async setAdapters(names: string | readonly string[], weights: number | readonly number[] = 1): Promise<void> {
    this.#refuseFused("adapters cannot be set");
    const list = typeof names === "string" ? [names] : names;
    const each = typeof weights === "number" ? list.map(() => weights) : weights;
    if (each.length !== list.length) throw new InputError(OP, `${each.length} weights for ${list.length} adapters`);
    const unknown = list.find((name) => !this.#adapters.has(name));
    if (unknown !== undefined)
      throw new InputError(OP, `no adapter "${unknown}"; there are ${[...this.#adapters.keys()].join(", ") || "none"}`);
    const twice = list.find((name, i) => list.indexOf(name) !== i);
    if (twice !== undefined) throw new InputError(OP, `adapter "${twice}" is named twice`);
    const bad = each.find((weight) => !Number.isFinite(weight));
    if (bad !== undefined) throw new InputError(OP, `a weight of ${bad}`);
    for (const [name, adapter] of this.#adapters) adapter.weight = each[list.indexOf(name)] ?? 0;
    await this.#apply();
  }

  /** One line each about what may spoil the influence of those that are active. */
  get warnings(): string[] {
    return [...this.#adapters.values()].flatMap(({ weight, warnings }) => (weight === 0 ? [] : warnings));
  }

  async fuse({ loraScale = 1 }: FuseOptions): Promise<void> {
    this.#refuseFused("they cannot be fused again");
    if (!Number.isFinite(loraScale)) throw new InputError(OP, `loraScale is ${loraScale}`);
    this.#fusedScale = loraScale;
    await this.#apply();
  }

  async unfuse(): Promise<void> {
    if (this.#fusedScale === undefined) throw new InputError(OP, "nothing is fused");
    this.#fusedScale = undefined;
    await this.#apply();
  }

  async unload(): Promise<void> {
    this.#adapters.clear();
    this.#fusedScale = undefined;
    await this.#apply();
  }

  /** Frees the kept weights. The networks' owner frees the others. */
  dispose(): void {
    for (const tensor of this.#originals.values()) tensor.dispose();
    this.#originals.clear();
    this.#adapters.clear();
  }

  #freeName(): string {
    for (let i = 0; ; i++) if (!this.#adapters.has(`default_${i}`)) return `default_${i}`;
  }

  #refuseFused(what: string): void {
    if (this.#fusedScale !== undefined) throw new InputError(OP, `adapters are fused, ${what}: unfuseLora comes first`);
  }

  /** Gives every parameter the weight that the adapters say. */
  async #apply(): Promise<void> {
    const wanted = this.#wanted();
    for (const [parameter, original] of this.#originals)
      if (!wanted.has(parameter)) {
        parameter.set(original);
        this.#originals.delete(parameter);
      }
    for (const [parameter, terms] of wanted) {
      const merged = await this.#merge(this.#originals.get(parameter) ?? parameter.tensor, parameter, terms);
      if (this.#originals.has(parameter)) parameter.set(merged);
      else this.#originals.set(parameter, parameter.exchange(merged));
    }
    await this.#device.flush();
  }

  /** The updates of each parameter that some active adapter changes, with their whole scale. */
  #wanted(): Map<Parameter, [scale: number, update: LoraUpdate][]> {
    const wanted = new Map<Parameter, [number, LoraUpdate][]>();
    for (const { updates, weight } of this.#adapters.values())
      for (const update of updates) {
        const scale = weight * update.scale * (this.#fusedScale ?? 1);
        const parameter = this.#parameters[update.network].get(update.key)!;
        if (scale !== 0) wanted.set(parameter, [...(wanted.get(parameter) ?? []), [scale, update]]);
      }
    return wanted;
  }

  async #merge(
    original: Tensor,
    { shape, kind }: Parameter,
    terms: readonly (readonly [scale: number, update: LoraUpdate])[],
  ): Promise<Tensor> {
    const sum = await original.data();
    for (const [scale, update] of terms) {
      const change = await this.#change(scale, update, shape[0]!);
      for (let i = 0; i < sum.length; i++) sum[i]! += change[i]!;
    }
    const bytes = new Uint8Array(sum.buffer, sum.byteOffset, sum.byteLength);
    const dtype = original.dtype === "f16" ? "f16" : "f32";
    return this.#device.scope(() => uploadWeight(this.#device, bytes, { source: "F32", shape, kind, dtype })).keep();
  }

  /** scale · up · down in the weight's order. */
  async #change(scale: number, { up, down, rank }: LoraUpdate, outputs: number): Promise<Float32Array> {
    const device = this.#device;
    const product = device.scope(() => {
      const left = Tensor.from(device, up, [outputs, rank]);
      return mul(matmul(left, Tensor.from(device, down, [rank, down.length / rank])), scale);
    });
    try {
      return await product.data();
    } finally {
      product.dispose();
    }
  }
}
