import type { View } from "../../gpu/kernel.ts";
import { attention, type AttentionCall } from "../../kernels/attention.ts";
import { ranges, rowBands, slice as part } from "../../kernels/bands.ts";
import { DTypeError, ShapeError } from "../../util/errors.ts";
import { sameShape, show } from "../../util/shape.ts";
import { dataOf, floatType, shapeError } from "../check.ts";
import { recorded } from "../recording.ts";
import { BYTES, Tensor } from "../tensor.ts";
import { attentionBackward, type AttentionOperands } from "./attention_backward.ts";
import { mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { concat } from "./concat.ts";
import { matmul } from "./matmul.ts";
import { slice } from "./slice.ts";
import { softmax } from "./softmax.ts";
import { spread } from "./spread.ts";

export interface AttentionOptions {
  /** Heads that lie side by side in the channels. */
  readonly heads: number;
  /** Query i sees keys 0…i only. */
  readonly isCausal?: boolean;
  /** Default 1 / √(channels / heads). */
  readonly scale?: number;
  /** A second run of keys and values after the first; each of its batches serves n / batches neighbouring ones. */
  readonly more?: { readonly k: Tensor; readonly v: Tensor } | undefined;
}

/**
 * softmax(scale · q kᵀ) v for each head (Vaswani et al. 2017, eq. 1), streamed: no queries × keys matrix exists.
 * @param q [n, tq, heads·d]
 * @param k [n or 1, tk, heads·d]; a batch of one serves all queries
 * @param v [n or 1, tk, heads·d]
 * @returns [n, tq, heads·d]
 * @throws ShapeError when shapes disagree, heads is not given or d does not divide by 4; DTypeError
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const op = "scaledDotProductAttention";
  const { heads, isCausal = false, more } = options ?? {}; // JavaScript may leave them out
  const elem = floatType(op, q);
  const [n = 0, queries = 0, channels = 0] = q.shape;
  const headDim = channels / heads;
  if (q.shape.length !== 3) throw new ShapeError(op, `q must be [n, tokens, channels], got ${show(q.shape)}`);
  if (!Number.isInteger(heads) || heads < 1)
    throw new ShapeError(op, `${channels} channels in ${heads} heads: a whole number of heads is needed`);
  if (!Number.isInteger(headDim) || headDim % 4 !== 0)
    throw new ShapeError(op, `${channels} channels in ${heads} heads: a head needs a multiple of 4`);
  for (const other of more ? [k, v, more.k, more.v] : [k, v]) {
    dataOf(op, other);
    const shares =
      other === more?.k || other === more?.v ? n % other.shape[0]! === 0 : other.shape[0] === n || other.shape[0] === 1;
    if (other.shape.length !== 3 || other.shape[2] !== channels || !shares)
      throw shapeError(op, "keys or values do not fit the queries", other.shape, q.shape);
    if (other.dtype !== q.dtype) throw new DTypeError(op, `q is ${q.dtype} and keys or values are ${other.dtype}`);
  }
  if (k.shape[1] !== v.shape[1] || k.shape[0] !== v.shape[0]) throw shapeError(op, "k and v differ", k.shape, v.shape);
  if (more && !sameShape(more.k.shape, more.v.shape))
    throw shapeError(op, "more.k and more.v differ", more.k.shape, more.v.shape);
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  return q.device.scope(() => {
    const keys = joined(k, more?.k, n);
    const values = joined(v, more?.v, n);
    const rule = {
      inputs: [q, keys, values],
      save: () => ({ q, k: keys, v: values }),
      backward: (g: Tensor, saved: AttentionOperands) =>
        attentionBackward(g, saved, { heads, scale, causal: isCausal }),
    };
    const sizes = { elem, heads, headDim, queries, keys: keys.shape[1]!, causal: isCausal, scale };
    return recorded(q.device, rule, () => attended(q, keys, values, sizes));
  });
}

/** Chooses how: by products for a wide head, in bands where a binding cannot hold the queries, else by the kernel. */
function attended(q: Tensor, k: Tensor, v: Tensor, sizes: Sizes): Tensor {
  const n = q.shape[0]!;
  const { heads, headDim, causal, scale } = sizes;
  return q.device.scope(() => {
    if (heads === 1 && headDim > WIDE && !causal) return wideHead(q, k, v, scale);
    if (q.view.bytes / n > q.device.facts.limits.maxStorageBufferBindingSize && !causal) return inBands(q, k, v, sizes);
    const y = Tensor.empty(q.device, q.shape, q.dtype);
    const sharedKeys = k.shape[0] === 1;
    attention(q.device, { ...sizes, batches: n, q: q.view, k: k.view, v: v.view, y: y.view, sharedKeys });
    return y;
  });
}

type Sizes = Omit<AttentionCall, "batches" | "q" | "k" | "v" | "y" | "sharedKeys">;

/** Batches whose queries are more than a binding holds: one by one, their queries in bands. */
function inBands(q: Tensor, k: Tensor, v: Tensor, sizes: Sizes): Tensor {
  const [n = 0, queries = 0, channels = 0] = q.shape;
  const { device } = q;
  const row = channels * BYTES[q.dtype];
  const results = Array.from({ length: n }, (_, batch) => {
    const at = k.shape[0] === 1 ? 0 : batch;
    const own = slice(q, 0, batch, batch + 1);
    const [kOwn, vOwn] = [slice(k, 0, at, at + 1).view, slice(v, 0, at, at + 1).view];
    const y = Tensor.empty(device, own.shape, q.dtype);
    for (const { start, length } of rowBands(device.facts.limits, queries, row)) {
      const [band, to] = [own, y].map((t) => part(t.view, start * row, length * row)) as [View, View];
      const one = { ...sizes, queries: length, batches: 1, sharedKeys: true };
      attention(device, { ...one, q: band, k: kOwn, v: vOwn, y: to });
    }
    return y;
  });
  return concat(results, 0);
}

const WIDE = 160; // channels from which a head's sums no longer fit into registers
const BLOCK_BYTES = 2 ** 25; // scores that may exist at a time

/**
 * A single wide head (the autoencoder's 512 channels) as two products over blocks of queries: only one block of
 * scores exists at a time, and the products run at the speed of any other.
 */
function wideHead(q: Tensor, k: Tensor, v: Tensor, scale: number): Tensor {
  const [n = 0, queries = 0, channels = 0] = q.shape;
  const keys = k.shape[1]!;
  const rows = Math.max(16, Math.floor(BLOCK_BYTES / 4 / keys / 16) * 16);
  const results: Tensor[] = [];
  for (let batch = 0; batch < n; batch++) {
    const at = k.shape[0] === 1 ? 0 : batch;
    const own = cast(slice(q, 0, batch, batch + 1), "f32").reshape(queries, channels);
    const [kOwn, vOwn] = [k, v].map((t) => cast(slice(t, 0, at, at + 1), "f32").reshape(keys, channels)) as [
      Tensor,
      Tensor,
    ];
    for (const { start, length } of ranges(queries, rows))
      results.push(
        q.device.scope(() => {
          const scores = matmul(mul(slice(own, 0, start, start + length), scale), kOwn, { transposeB: true });
          return cast(matmul(softmax(scores), vOwn), q.dtype);
        }),
      );
  }
  return concat(results, 0).reshape(n, queries, channels);
}

/** Both runs of tokens one after the other. The copy costs a thousandth of the attention that follows. */
function joined(first: Tensor, second: Tensor | undefined, n: number): Tensor {
  if (!second) return first;
  const batches = first.shape[0] === 1 && second.shape[0] === 1 ? 1 : n;
  return concat([spread(first, batches), spread(second, batches)], 1);
}
