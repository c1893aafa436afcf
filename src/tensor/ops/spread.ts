import type { Tensor } from "../tensor.ts";
import { concat } from "./concat.ts";
import { repeat } from "./repeat.ts";
import { slice } from "./slice.ts";

/** Every batch as often as it takes to make n of them, copies side by side. */
export function spread(x: Tensor, n: number): Tensor {
  const batches = x.shape[0]!;
  if (batches === n) return x;
  if (batches === 1) return repeat(x, n);
  return concat(
    Array.from({ length: batches }, (_, i) => repeat(slice(x, 0, i, i + 1), n / batches)),
    0,
  );
}
