import { scaledDotProductAttention } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";

/** Projected keys and values, each [n, t, c]; n may be 1 where the queries have more. */
export interface KeyValues {
  /** Keys, [n, t, c]. */
  readonly k: Tensor;
  /** Values, [n, t, c]. */
  readonly v: Tensor;
}

export interface AttentionOptions {
  readonly heads: number;
  /** Channels of what keys and values are made from; the queries' channels unless given. */
  readonly context?: number;
  /** Whether the projections to queries, keys and values have a bias. */
  readonly bias?: boolean;
}

/**
 * Multi-head attention (Vaswani et al. 2017, arXiv 1706.03762), its parts open so that keys and values can be kept.
 *
 * Queries, keys and values are three products on purpose: one of all three columns took 0.93–0.99 of their time at
 * Stable Diffusion 1.5's shapes on the software adapter, its strided result would slow what reads it, and keys and
 * values here often come from elsewhere, are joined with a garment's, or are trained by themselves.
 */
export class Attention extends Module {
  readonly to_q: Linear;
  readonly to_k: Linear;
  readonly to_v: Linear;
  readonly to_out: readonly [Linear, undefined]; // to_out.1 is dropout: no weights
  /** How many; each has channels / heads of them. */
  readonly heads: number;

  constructor(channels: number, { heads, context = channels, bias = false }: AttentionOptions) {
    super();
    this.to_q = new Linear(channels, channels, { bias });
    this.to_k = new Linear(context, channels, { bias });
    this.to_v = new Linear(context, channels, { bias });
    this.to_out = [new Linear(channels, channels), undefined];
    this.heads = heads;
  }

  /** `context` [n, t, context channels] → its keys and values, [n, t, c] each; `more` after each batch's own. */
  keysValues(context: Tensor, more?: KeyValues): KeyValues {
    return {
      k: this.to_k.forward(context, more ? { append: more.k } : {}),
      v: this.to_v.forward(context, more ? { append: more.v } : {}),
    };
  }

  /**
   * Queries from `x` [n, tq, c] read `keysValues`, and `more` after them → to_out(attention) + residual, [n, tq, c].
   * By default `x` reads itself.
   */
  forward(
    x: Tensor,
    { keysValues, more, residual }: { keysValues?: KeyValues; more?: KeyValues; residual?: Tensor } = {},
  ): Tensor {
    const { k, v } = keysValues ?? this.keysValues(x, more);
    const options = { heads: this.heads, ...(keysValues && more && { more }) };
    const read = scaledDotProductAttention(this.to_q.forward(x), k, v, options);
    return this.to_out[0].forward(read, residual ? { residual } : {});
  }
}
