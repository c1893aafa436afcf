import { attention } from "../../kernels/attention.ts";
import { DTypeError, ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { floatType, shapeError } from "../check.ts";
import { Tensor } from "../tensor.ts";
import { concat } from "./concat.ts";
import { repeat } from "./repeat.ts";

export interface AttentionOptions {
  /** Heads that lie side by side in the channels. */
  readonly heads: number;
  /** Query i sees keys 0…i only. */
  readonly isCausal?: boolean;
  /** Default 1 / √(channels / heads). */
  readonly scale?: number;
  /** A second run of keys and values after the first. */
  readonly more?: { readonly k: Tensor; readonly v: Tensor } | undefined;
}

/**
 * softmax(scale · q kᵀ) v for each head (Vaswani et al. 2017, eq. 1), streamed: no queries × keys matrix exists.
 * @param q [n, tq, heads·d]
 * @param k [n or 1, tk, heads·d]; a batch of one serves all queries
 * @param v [n or 1, tk, heads·d]
 * @returns [n, tq, heads·d]
 * @throws ShapeError when shapes disagree or d does not divide by 4; DTypeError
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const op = "scaledDotProductAttention";
  const { heads, isCausal = false, more } = options;
  const elem = floatType(op, q);
  const [n = 0, queries = 0, channels = 0] = q.shape;
  const headDim = channels / heads;
  if (q.shape.length !== 3) throw new ShapeError(op, `q must be [n, tokens, channels], got ${show(q.shape)}`);
  if (!Number.isInteger(headDim) || headDim % 4 !== 0) throw new ShapeError(op, `${channels} channels in ${heads} heads: a head needs a multiple of 4`);
  for (const other of more ? [k, v, more.k, more.v] : [k, v]) {
    if (other.shape.length !== 3 || other.shape[2] !== channels || (other.shape[0] !== n && other.shape[0] !== 1))
      throw shapeError(op, "keys or values do not fit the queries", other.shape, q.shape);
    if (other.dtype !== q.dtype) throw new DTypeError(op, `q is ${q.dtype} and keys or values are ${other.dtype}`);
  }
  if (k.shape[1] !== v.shape[1] || k.shape[0] !== v.shape[0]) throw shapeError(op, "k and v differ", k.shape, v.shape);
  return q.device.scope(() => {
    const keys = joined(k, more?.k);
    const values = joined(v, more?.v);
    const y = Tensor.empty(q.device, q.shape, q.dtype);
    attention(q.device, {
      elem,
      batches: n,
      heads,
      headDim,
      queries,
      keys: keys.shape[1]!,
      q: q.view,
      k: keys.view,
      v: values.view,
      y: y.view,
      sharedKeys: keys.shape[0] === 1,
      causal: isCausal,
      scale: options.scale ?? 1 / Math.sqrt(headDim),
    });
    return y;
  });
}

/** Both runs of tokens one after the other. The copy costs a thousandth of the attention that follows. */
function joined(first: Tensor, second: Tensor | undefined): Tensor {
  if (!second) return first;
  const n = Math.max(first.shape[0]!, second.shape[0]!);
  const whole = (t: Tensor) => (t.shape[0] === n ? t : repeat(t, n));
  return concat([whole(first), whole(second)], 1);
}
