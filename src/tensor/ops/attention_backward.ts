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
 * P are computed again, block of queries after block, so that no queries × keys matrix exists. Per block
 * dV += Pᵀ g, dS = scale · P ∘ (g vᵀ - rowsum(P ∘ g vᵀ)), dQ = dS k, dK += dSᵀ q, as products of all heads at once, in
 * float32. Unrecorded.
 */
export function attentionBackward(g: Tensor, { q, k, v }: AttentionOperands, options: Options): Tensor[] {
  const { device } = g;
  const { heads } = options;
  const [n = 0, queries = 0] = q.shape;
  const keys = k.shape[1]!;
  const keys4 = Math.ceil(keys / 4) * 4; // tokens of zeros: whole vectors of scores
  const [qHeads, gHeads] = [q, g].map((t) => splitHeads(t, n, heads)) as [Tensor, Tensor];
  const [kHeads, vHeads] = [k, v].map((t) => placed(splitHeads(t, n, heads), 1, 0, keys4)) as [Tensor, Tensor];
  // keys along the rows too: such products load their right side in whole vectors
  const [kRows, vRows] = [kHeads, vHeads].map((t) => permute(t, [0, 2, 1])) as [Tensor, Tensor];
  const rows = Math.max(16, Math.floor(BLOCK_BYTES / 4 / (n * heads * keys4) / 16) * 16);
  const parts: Tensor[] = [];
  let sums: { k: Tensor; v: Tensor } | undefined;
  for (const { start, length } of ranges(queries, rows)) {
    const before = sums;
    const found = device.scope(() => {
      const [own, slope] = [qHeads, gHeads].map((t) => slice(t, 1, start, start + length)) as [Tensor, Tensor];
      const block = blockGradients({ q: own, k: kHeads, kRows, vRows, g: slope }, { ...options, keys, start });
      if (!before) return block;
      return { q: block.q, k: add(before.k, block.k), v: add(before.v, block.v) };
    });
    before?.k.dispose();
    before?.v.dispose();
    parts.push(found.q);
    sums = found;
  }
  const tokens = (t: Tensor, like: Tensor) => cast(sumTo(slice(t, 1, 0, like.shape[1]!), like.shape), like.dtype);
  return [
    tokens(joinHeads(concat(parts, 1), n, [0, 2, 1, 3]), q),
    tokens(joinHeads(sums!.k, n, [0, 3, 1, 2]), k),
    tokens(joinHeads(sums!.v, n, [0, 3, 1, 2]), v),
  ];
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
