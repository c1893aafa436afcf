import type { Attention, KeyValues } from "../../nn/attention.ts";
import type { LayerNorm } from "../../nn/norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { batchPart } from "./conditioning.ts";

/** What a fusion sees of a transformer block. */
export interface FusedBlock {
  /** Position among the UNet's transformer blocks, in the order in which they run. */
  readonly index: number;
  readonly norm1: LayerNorm;
  readonly attn1: Attention;
}

/**
 * What a transformer block's self-attention does. Given the block's tokens before norm1, [n, t, c], it returns the
 * attention's output (through to_out) plus those tokens, of the same shape. One object is one strategy: it may read
 * other tokens, weigh them, or keep them. It runs inside the block's memory scope: tensors that must outlive the call
 * are `keep()`-ed, and disposed of by the object that kept them.
 */
export interface Fusion {
  selfAttention(block: FusedBlock, tokens: Tensor): Tensor;
  /** The same for one of `count` equal parts of the batch, where parts differ. */
  part?(index: number, count: number): Fusion;
}

/** The plain network: tokens read themselves. */
export const selfOnly: Fusion = {
  selfAttention: ({ norm1, attn1 }, tokens) => attn1.forward(norm1.forward(tokens), { residual: tokens }),
};

/** The plain network, remembering what every block took. */
export class Capture implements Fusion {
  /** [n, t, c] of each block that ran, at its index. The capture's own until `dispose()`. */
  readonly tokens: Tensor[] = [];

  selfAttention(block: FusedBlock, tokens: Tensor): Tensor {
    this.tokens[block.index] = tokens.keep();
    return selfOnly.selfAttention(block, tokens);
  }

  dispose(): void {
    for (const tokens of this.tokens) tokens?.dispose();
    this.tokens.length = 0;
  }
}

/**
 * OOTDiffusion's outfitting fusion (Xu et al. 2024, arXiv 2403.01779, section 3.2): tokens read themselves and the
 * garment's tokens at the same block. The published code runs attention over [own; garment] with queries from both
 * and drops the garment's half of the result; with the block's own queries alone the kept half is the same. norm1
 * works on single tokens, so the garment's keys and values do not depend on the step: they are computed when a block
 * first asks, and kept.
 */
export class Concat implements Fusion {
  readonly #garment: readonly Tensor[];
  readonly #keysValues = new Map<FusedBlock, KeyValues>();

  /**
   * @param garment the garment UNet's tokens before norm1 at each block, [m, t', c] (`features`). They stay the
   * caller's, and are read until every block ran once. In a batch of n each of the m garments serves n / m
   * neighbours: two guidance halves serve two halves of any number of samples.
   */
  constructor(garment: readonly Tensor[]) {
    this.#garment = garment;
  }

  /** Computes every block's keys and values now: the garment's tokens are not read any more. */
  prepare(blocks: readonly FusedBlock[]): void {
    for (const block of blocks) this.#of(block);
  }

  part(index: number, count: number): Fusion {
    return {
      selfAttention: (block, tokens) => {
        const { k, v } = this.#of(block);
        const more = k.shape[0] === 1 ? { k, v } : { k: batchPart(k, index, count), v: batchPart(v, index, count) };
        return block.attn1.forward(block.norm1.forward(tokens), { more, residual: tokens });
      },
    };
  }

  /** `tokens` [n, t, c] → the same shape. */
  selfAttention(block: FusedBlock, tokens: Tensor): Tensor {
    const { shape } = this.#keysValues.get(block)?.k ?? this.#tokens(block.index);
    if (shape[2] !== tokens.shape[2] || tokens.shape[0]! % shape[0]! !== 0)
      throw new ShapeError("Concat", `block ${block.index}: ${show(shape)} does not serve ${show(tokens.shape)}`);
    const more = this.#of(block);
    return block.attn1.forward(block.norm1.forward(tokens), { more, residual: tokens });
  }

  /** Frees the keys and values. */
  dispose(): void {
    for (const { k, v } of this.#keysValues.values()) for (const tensor of [k, v]) tensor.dispose();
    this.#keysValues.clear();
  }

  #of(block: FusedBlock): KeyValues {
    const known = this.#keysValues.get(block);
    if (known) return known;
    const { index, norm1, attn1 } = block;
    const garment = this.#tokens(index);
    const { k, v } = garment.device.scope(() => attn1.keysValues(norm1.forward(garment)));
    const keysValues = { k: k.keep(), v: v.keep() };
    this.#keysValues.set(block, keysValues);
    return keysValues;
  }

  #tokens(index: number): Tensor {
    const garment = this.#garment[index];
    if (garment) return garment;
    const what = `block ${index} has no garment tokens: ${this.#garment.length} blocks were captured`;
    throw new ShapeError("Concat", what);
  }
}
