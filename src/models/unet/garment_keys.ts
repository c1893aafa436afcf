import type { KeyValues } from "../../nn/attention.ts";
import { concat, repeat, slice } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { batchPart } from "./conditioning.ts";
import type { FusedBlock } from "./fusion.ts";

/** Tokens of one garment before norm1 at each block, [m, t, c]. */
export type GarmentTokens = readonly Tensor[];

/**
 * Keys and values of garments in every block, computed when a block first asks, and kept. norm1 works on single
 * tokens, so they do not depend on the step.
 */
export class GarmentKeyValues {
  readonly #name: string;
  readonly #garments: readonly GarmentTokens[];
  readonly #project: (block: FusedBlock, normed: Tensor) => KeyValues;
  readonly #known = new Map<FusedBlock, KeyValues>();

  /**
   * @param name what errors begin with
   * @param garments tokens of each; in the batch each of the m serves n / m neighbours
   * @param project from normed tokens to keys and values; the block's own projections unless given
   */
  constructor(
    name: string,
    garments: readonly GarmentTokens[],
    project = ({ attn1 }: FusedBlock, normed: Tensor) => attn1.keysValues(normed),
  ) {
    this.#name = name;
    this.#garments = garments;
    this.#project = project;
  }

  /** [m, sum of t, c] of all garments, for a block's `tokens` [n, t, c]. @throws ShapeError when they do not fit */
  for(block: FusedBlock, tokens: Tensor): KeyValues {
    const known = this.#known.get(block);
    for (const { shape } of known ? [known.k] : this.#tokens(block.index))
      if (shape[2] !== tokens.shape[2] || tokens.shape[0]! % shape[0]! !== 0)
        throw new ShapeError(this.#name, `block ${block.index}: ${show(shape)} does not serve ${show(tokens.shape)}`);
    return known ?? this.of(block);
  }

  of(block: FusedBlock): KeyValues {
    const known = this.#known.get(block);
    if (known) return known;
    const garments = this.#tokens(block.index);
    const { k, v } = garments[0]!.device.scope(() => {
      const each = garments.map((tokens) => this.#project(block, block.norm1.forward(tokens)));
      return { k: inOneRow(each.map(({ k }) => k)), v: inOneRow(each.map(({ v }) => v)) };
    });
    const keysValues = { k: k.keep(), v: v.keep() };
    this.#known.set(block, keysValues);
    return keysValues;
  }

  /** The same for one of `count` equal parts of the batch. */
  part(block: FusedBlock, index: number, count: number): KeyValues {
    const { k, v } = this.of(block);
    return { k: batchPart(k, index, count), v: batchPart(v, index, count) };
  }

  dispose(): void {
    for (const { k, v } of this.#known.values()) for (const tensor of [k, v]) tensor.dispose();
    this.#known.clear();
  }

  #tokens(index: number): Tensor[] {
    return this.#garments.map((garment) => {
      const tokens = garment[index];
      if (tokens) return tokens;
      const what = `block ${index} has no garment tokens: ${garment.length} blocks were captured`;
      throw new ShapeError(this.#name, what);
    });
  }
}

/** [m, t, c] each → [the largest m, sum of t, c]. */
function inOneRow(each: readonly Tensor[]): Tensor {
  if (each.length === 1) return each[0]!;
  const most = Math.max(...each.map(({ shape }) => shape[0]!));
  return concat(
    each.map((tokens) => spread(tokens, most)),
    1,
  );
}

/** Each of the m in a batch as often as it takes to make n, copies side by side: [m, ...] → [n, ...]. */
export function spread(x: Tensor, n: number): Tensor {
  const m = x.shape[0]!;
  if (m === n) return x;
  const each = Array.from({ length: m }, (_, i) => repeat(slice(x, 0, i, i + 1), n / m));
  return each.length === 1 ? each[0]! : concat(each, 0);
}
