import { Linear } from "../../nn/linear.ts";
import { Module, type Parameter } from "../../nn/module.ts";
import { add, mul, scaledDotProductAttention } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { KeyValues } from "../../nn/attention.ts";
import { batchPart } from "../unet/conditioning.ts";
import type { FusedBlock, Fusion } from "../unet/fusion.ts";
import { GarmentKeyValues, spread } from "../unet/garment_keys.ts";
import type { UNet2DConditionModel } from "../unet/unet.ts";
import type { FusionInputs, FusionStrategy } from "./strategy.ts";

/** From a garment's tokens to keys and values of one block. */
class KeyValueProjection extends Module {
  readonly to_k: Linear;
  readonly to_v: Linear;

  constructor(channels: number) {
    super();
    this.to_k = new Linear(channels, channels, { bias: false });
    this.to_v = new Linear(channels, channels, { bias: false });
  }
}

/** One projection for each transformer block: `blocks.0.to_k.weight`, … */
export class GarmentProjections extends Module {
  readonly blocks: readonly KeyValueProjection[];

  constructor(unet: UNet2DConditionModel) {
    super();
    this.blocks = unet.transformerBlocks().map(({ attn1 }) => new KeyValueProjection(attn1.to_k.weight.shape[0]!));
  }
}

/** A second attention beside the block's own, with the same queries: to_out(own + scale · garment). */
class CrossAttention implements Fusion {
  readonly #keysValues: GarmentKeyValues;
  readonly #scale: number;

  constructor({ garments, module }: FusionInputs<GarmentProjections>, scale: number) {
    const project = ({ index }: FusedBlock, normed: Tensor) => {
      const { to_k, to_v } = module.blocks[index]!;
      return { k: to_k.forward(normed), v: to_v.forward(normed) };
    };
    const tokens = garments.map((garment) => garment.tokens);
    this.#keysValues = new GarmentKeyValues("cross-attention", tokens, project);
    this.#scale = scale;
  }

  prepare(blocks: readonly FusedBlock[]): void {
    for (const block of blocks) this.#keysValues.of(block);
  }

  part(index: number, count: number): Fusion {
    const own = (x: Tensor) => batchPart(x, index, count);
    return {
      selfAttention: (block, tokens) => {
        const { k, v } = this.#keysValues.of(block);
        return this.#read(block, tokens, { k: own(k), v: own(v) });
      },
    };
  }

  selfAttention(block: FusedBlock, tokens: Tensor): Tensor {
    return this.#read(block, tokens, this.#keysValues.for(block, tokens));
  }

  dispose(): void {
    this.#keysValues.dispose();
  }

  #read({ norm1, attn1 }: FusedBlock, tokens: Tensor, garment: KeyValues): Tensor {
    const { heads } = attn1;
    const x = norm1.forward(tokens);
    const [q, own] = [attn1.to_q.forward(x), attn1.keysValues(x)];
    const [k, v] = [garment.k, garment.v].map((t) => (t.shape[0] === 1 ? t : spread(t, tokens.shape[0]!)));
    const other = scaledDotProductAttention(q, k!, v!, { heads });
    const both = add(scaledDotProductAttention(q, own.k, own.v, { heads }), mul(other, this.#scale));
    return attn1.to_out[0].forward(both, { residual: tokens });
  }
}

/**
 * Decoupled cross-attention to the garment's tokens (Ye et al. 2023, arXiv 2308.06721, equation 5), with keys and
 * values by projections of its own, which begin as the block's and are trained.
 */
export const crossAttention = (scale = 1, name = "cross-attention"): FusionStrategy<GarmentProjections> => ({
  name,
  module: (unet) => new GarmentProjections(unet),
  initialize: (module, unet) => {
    for (const [i, { attn1 }] of unet.transformerBlocks().entries()) {
      const { to_k, to_v } = module.blocks[i]!;
      take(to_k.weight, attn1.to_k.weight);
      take(to_v.weight, attn1.to_v.weight);
    }
  },
  fuse: (inputs) => new CrossAttention(inputs, scale),
});

/** The same numbers in the same memory, until one of the two is trained. */
const take = (to: Parameter, from: Parameter): void => to.set(from.tensor.share());
