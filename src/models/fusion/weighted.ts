import { add, cast, mul, slice } from "../../tensor/ops.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { InputError } from "../../util/errors.ts";
import { Concat, selfOnly, type FusedBlock, type Fusion, type FusionPass } from "../unet/fusion.ts";
import type { FusionInputs, FusionStrategy } from "./strategy.ts";

/** How loud the garment is: in all blocks, in each, or by block and training timestep (999: pure noise … 0: clean). */
export type GarmentWeight = number | readonly number[] | ((block: number, timestep: number) => number);

/** Between the plain network (0) and the concatenation (1): (1 − w) · without + w · with, in every block's output. */
class Weighted implements Fusion {
  readonly #concat: Concat;
  readonly #weight: GarmentWeight;
  readonly #device: Tensor["device"];
  readonly #blocks: number;
  /** [blocks, timesteps] f32, of the pass at hand. */
  #weights: Tensor | undefined;

  constructor({ unet, garments }: FusionInputs, weight: GarmentWeight) {
    this.#blocks = unet.transformerBlocks().length;
    if (typeof weight === "object" && weight.length !== this.#blocks)
      throw new InputError("weighted", `${weight.length} weights for ${this.#blocks} transformer blocks`);
    this.#concat = new Concat(...garments.map(({ tokens }) => tokens));
    this.#weight = weight;
    this.#device = garments[0]!.latents.device;
  }

  prepare(blocks: readonly FusedBlock[]): void {
    this.#concat.prepare(blocks);
  }

  before({ timesteps }: FusionPass): void {
    const weight = this.#weight;
    if (typeof weight !== "function") return;
    const values = Array.from({ length: this.#blocks }, (_, block) => timesteps.map((t) => weight(block, t)));
    const now = Tensor.from(this.#device, values.flat(), [this.#blocks, timesteps.length]);
    if (this.#weights?.shape[1] === timesteps.length) return void this.#weights.assign(now);
    this.#weights?.dispose();
    this.#weights = now.keep();
  }

  part(index: number, count: number): Fusion {
    const part = this.#concat.part(index, count);
    return {
      selfAttention: (block, tokens, grid) => this.#blend(block, tokens, () => part.selfAttention(block, tokens, grid)),
    };
  }

  selfAttention(block: FusedBlock, tokens: Tensor): Tensor {
    return this.#blend(block, tokens, () => this.#concat.selfAttention(block, tokens));
  }

  dispose(): void {
    this.#concat.dispose();
    this.#weights?.dispose();
  }

  #blend(block: FusedBlock, tokens: Tensor, dressed: () => Tensor): Tensor {
    const weight = this.#of(block.index, tokens);
    if (weight === 0) return selfOnly.selfAttention(block, tokens);
    if (weight === 1) return dressed();
    const rest = typeof weight === "number" ? 1 - weight : add(mul(weight, -1), 1);
    return add(mul(selfOnly.selfAttention(block, tokens), rest), mul(dressed(), weight));
  }

  #of(block: number, { dtype }: Tensor): number | Tensor {
    const weight = this.#weight;
    if (typeof weight === "number") return weight;
    if (typeof weight === "object") return weight[block]!;
    if (!this.#weights) throw new InputError("weighted", "weights by timestep need before() to be called");
    return cast(slice(this.#weights, 0, block, block + 1), dtype).reshape(-1, 1, 1);
  }
}

/**
 * Between the plain network (weight 0) and the concatenation (1): (1 − w) · without + w · with, in every block.
 * @throws InputError when a list has not one weight for each transformer block
 */
export const weighted = (weight: GarmentWeight, name = "weighted"): FusionStrategy => ({
  name,
  fuse: (inputs) => new Weighted(inputs, weight),
});
