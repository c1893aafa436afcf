import type { Device } from "../gpu/device.ts";
import type { Module, Parameter } from "../nn/module.ts";
import { cast, packWeight } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";

/** A network under training, and the folder of a checkpoint that holds it: `unet_vton`. */
export interface TrainedNetwork {
  /** Its folder in a checkpoint. */
  readonly folder: string;
  readonly module: Module;
  /** config.json, as the checkpoint shall have it. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** A parameter's name among those of all networks: `unet_vton.conv_in.weight`. */
export const parameterName = (network: TrainedNetwork, key: string): string => `${network.folder}.${key}`;

/** Folder of a fusion strategy's own weights in a checkpoint. */
export const FUSION_FOLDER = "fusion";

const ofStrategy = (name: string) => name.startsWith(`${FUSION_FOLDER}.`);

/**
 * Which parameters move: all of them, those of every attention, those of the self-attentions, where the garment joins,
 * or none of the networks'. A fusion strategy's own always do.
 */
export const SUBSETS = {
  full: () => true,
  attention: (name: string) => ofStrategy(name) || /\.attn[12]\./.test(name),
  fusion: (name: string) => ofStrategy(name) || /\.attn1\./.test(name),
  strategy: ofStrategy,
} as const satisfies Record<string, (name: string) => boolean>;

export type Subset = keyof typeof SUBSETS;

/**
 * The trained weights in float32 and natural order. The networks compute with copies in their own type and memory
 * order, which `bind` makes anew at every step, inside the tape, so that gradients arrive here.
 */
export class Masters {
  /** Of the networks and the masters. */
  readonly device: Device;
  /** By name. The masters' own until `dispose`. */
  readonly tensors = new Map<string, Tensor>();
  readonly #parameters = new Map<string, Parameter>();
  /** Weights that do not move, of networks that compute with copies rounded to half precision. */
  readonly #unrounded = new Map<string, Float32Array>();
  readonly #dtype: "f32" | "f16";

  private constructor(device: Device, dtype: "f32" | "f16") {
    this.device = device;
    this.#dtype = dtype;
  }

  /**
   * Takes the weights of networks loaded in float32, whose own become copies of type `dtype`.
   * @param trains tells by its name whether a parameter moves
   */
  static async of(
    networks: readonly TrainedNetwork[],
    { dtype = "f32", trains = SUBSETS.full }: { dtype?: "f32" | "f16"; trains?: (name: string) => boolean } = {},
  ): Promise<Masters> {
    const { device } = [...networks[0]!.module.parameters()][0]![1].tensor;
    const masters = new Masters(device, dtype);
    for (const network of networks)
      for (const [key, parameter] of network.module.parameters()) {
        const name = parameterName(network, key);
        masters.#parameters.set(name, parameter);
        if (trains(name)) masters.#setMaster(name, await parameter.tensor.data());
        else if (dtype === "f16") masters.set(name, await parameter.tensor.data());
      }
    device.scope(() => masters.bind());
    await device.flush();
    return masters;
  }

  /** A parameter's numbers in float32 and natural order, whether it moves or not. */
  async numbers(name: string): Promise<Float32Array> {
    const unrounded = this.#unrounded.get(name);
    return unrounded ?? (this.tensors.get(name) ?? this.#parameters.get(name)!.tensor).data();
  }

  /** Replaces a parameter's numbers, in natural order. A master's reach the network with the next `bind`. */
  set(name: string, values: Float32Array): void {
    if (this.tensors.has(name)) return this.#setMaster(name, values);
    const parameter = this.#parameters.get(name)!;
    if (this.#dtype === "f16" && parameter.kind !== "vector") this.#unrounded.set(name, values);
    this.device.scope(() => this.#bind(parameter, Tensor.from(this.device, values, parameter.shape)));
  }

  #setMaster(name: string, values: Float32Array): void {
    this.tensors.get(name)?.dispose();
    this.tensors.set(name, Tensor.from(this.device, values, this.#parameters.get(name)!.shape).keep());
  }

  /** Gives the networks copies of the masters as they are now. */
  bind(): void {
    for (const [name, master] of this.tensors) this.#bind(this.#parameters.get(name)!, master);
  }

  #bind(parameter: Parameter, master: Tensor): void {
    if (parameter.kind === "vector") return parameter.set(master.reshape(...master.shape));
    parameter.dispose(); // first, so that the new copy can lie where the old one lay and kernels find it bound
    const typed = cast(master, this.#dtype);
    parameter.set(parameter.kind === "matrix" ? packWeight(typed) : typed);
  }

  /** Frees the masters; the networks keep their copies. */
  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
    this.tensors.clear();
    this.#unrounded.clear();
  }
}
