import { ranges } from "../../kernels/bands.ts";
import { softmax } from "../../kernels/rows.ts";
import { softmaxBackward } from "../../kernels/rows_backward.ts";
import { Tensor } from "../tensor.ts";
import { add, mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { concat } from "./concat.ts";
import { matmul } from "./matmul.ts";
import { outerSum } from "./outer_sum.ts";
import { permute } from "./permute.ts";
import { repeat } from "./repeat.ts";
import { placed, slice } from "./slice.ts";
import { sumTo } from "./sum_dims.ts";

const BLOCK_BYTES = 2 ** 25; // scores that may exist at a time, three times over

/** q [n, tq, heads·d], k and v [n or 1, tk, heads·d]. */
export type AttentionOperands = { q: Tensor; k: Tensor; v: Tensor };

interface Options {
  readonly heads: number;
  readonly scale: number;
  readonly causal: boolean;
}

/**
 * The gradients of softmax(scale · q kᵀ) v in q, k and v (Dao et al. 2022, arXiv 2205.14135, appendix B.2): the weights
 * P are computed again, some heads after the others, or, of a head that is too large, block of queries after block, so
 * that no whole queries × keys matrix exists. Per block dV += Pᵀ g, dS = scale · P ∘ (g vᵀ - rowsum(P ∘ g vᵀ)),
 * dQ = dS k, dK += dSᵀ q, as products of its heads at once, in float32. Unrecorded.
 */
export function attentionBackward(g: Tensor, { q, k, v }: AttentionOperands, options: Options): Tensor[] {
  const { device } = g;
  const { heads } = options;
  const [n = 0, queries = 0] = q.shape;
  const keys = k.shape[1]!;
  const keys4 = Math.ceil(keys / 4) * 4; // tokens of zeros: whole vectors of scores
  const [qHeads, gHeads] = [q, g].map((t) => splitHeads(t, n, heads)) as [Tensor, Tensor];
  const [kHeads, vHeads] = [k, v].map((t) => placed(splitHeads(t, n, heads), 1, 0, keys4)) as [Tensor, Tensor];
  const together = Math.max(1, Math.floor(BLOCK_BYTES / 4 / (queries * keys4)));
  const parts = ranges(n * heads, together).map(({ start, length }) =>
    device.scope(() => {
      const own = (t: Tensor) => slice(t, 0, start, start + length);
      return headsGradients(own(gHeads), { q: own(qHeads), k: own(kHeads), v: own(vHeads) }, { ...options, keys });
    }),
  );
  const finished = (name: keyof AttentionOperands, like: Tensor, order: readonly number[]) => {
    const all = joinHeads(concat(parts.map((part) => part[name]), 0), n, order); // prettier-ignore
    return cast(sumTo(slice(all, 1, 0, like.shape[1]!), like.shape), like.dtype);
  };
  return [finished("q", q, [0, 2, 1, 3]), finished("k", k, [0, 3, 1, 2]), finished("v", v, [0, 3, 1, 2])];
}

/** The gradients of some heads: of q [heads, queries, d], of k and v [heads, d, keys]. */
function headsGradients(
  g: Tensor,
  { q, k, v }: AttentionOperands,
  options: Options & { keys: number },
): AttentionOperands {
  const { device } = g;
  const [heads = 0, queries = 0] = q.shape;
  // keys along the rows too: such products load their right side in whole vectors
  const [kRows, vRows] = [k, v].map((t) => permute(t, [0, 2, 1])) as [Tensor, Tensor];
  const rows = Math.max(16, Math.floor(BLOCK_BYTES / 4 / (heads * k.shape[1]!) / 16) * 16);
  const parts: Tensor[] = [];
  let sums: { k: Tensor; v: Tensor } | undefined;
  for (const { start, length } of ranges(queries, rows)) {
    const before = sums;
    const found = device.scope(() => {
      const [own, slope] = [q, g].map((t) => slice(t, 1, start, start + length)) as [Tensor, Tensor];
      const block = blockGradients({ q: own, k, kRows, vRows, g: slope }, { ...options, start });
      if (!before) return block;
      return { q: block.q, k: add(before.k, block.k), v: add(before.v, block.v) };
    });
    before?.k.dispose();
    before?.v.dispose();
    parts.push(found.q);
    sums = found;
  }
  return { q: concat(parts, 1), k: sums!.k, v: sums!.v };
}

/** One block of queries: its dQ [batches, rows, d], and what it adds to dK and dV, [batches, d, keys]. */
function blockGradients(
  { q, k, kRows, vRows, g }: { q: Tensor; k: Tensor; kRows: Tensor; vRows: Tensor; g: Tensor },
  { scale, causal, keys, start }: Options & { keys: number; start: number },
): AttentionOperands {
  const { device } = q;
  const [batches = 0, length = 0] = q.shape;
  const keys4 = k.shape[1]!;
  let scores = matmul(mul(q, scale), kRows);
  if (causal) scores = add(scores, causalMask(q, length, keys4, start));
  const sizes = { rows: batches * length, elem: "f32" } as const;
  const weights = Tensor.empty(device, scores.shape);
  softmax(device, { ...sizes, x: scores.view, y: weights.view, length: keys });
  const slopes = matmul(g, vRows);
  const views = { y: weights.view, g: slopes.view, gx: scores.view }; // the scores are used up
  softmaxBackward(device, { ...sizes, ...views, length: keys4, scale });
  // transposed, [batches, d, keys]: along the keys no lane is idle
  return { q: matmul(scores, k), k: outerSum(q, scores), v: outerSum(g, weights) };
}

/** What is added to the scores of queries start … start + rows: nothing, or, ahead of a query, as good as minus infinity. */
function causalMask({ device }: Tensor, rows: number, keys: number, start: number): Tensor {
  const values = Float32Array.from({ length: rows * keys }, (_, i) =>
    i % keys > start + Math.floor(i / keys) ? -1e30 : 0,
  );
  return Tensor.from(device, values, [rows, keys]);
}

/** [n or 1, t, heads·d] → [n·heads, t, d] f32. */
function splitHeads(x: Tensor, n: number, heads: number): Tensor {
  const [batches = 0, tokens = 0, channels = 0] = x.shape;
  const wide = cast(batches === n ? x : repeat(x, n), "f32").reshape(n, tokens, heads, channels / heads);
  return permute(wide, [0, 2, 1, 3]).reshape(n * heads, tokens, channels / heads);
}

/** [n·heads, t, d], or, by another order of dimensions, [n·heads, d, t] → [n, t, heads·d]. */
function joinHeads(x: Tensor, n: number, order: readonly number[]): Tensor {
  const [all = 0, a = 0, b = 0] = x.shape;
  const y = permute(x.reshape(n, all / n, a, b), order);
  return y.reshape(n, y.shape[1]!, -1);
}
