import { stridedCopy } from "../../kernels/strided_copy.ts";
import { ShapeError } from "../../util/errors.ts";
import { dataOf } from "../check.ts";
import { Tensor } from "../tensor.ts";

/** The whole batch `times` times, one copy after the other: [n, ...] → [times · n, ...]. */
export function repeat(x: Tensor, times: number): Tensor {
  dataOf("repeat", x);
  if (!Number.isInteger(times) || times < 1) throw new ShapeError("repeat", `${times} times`);
  if (times === 1) return x.reshape(...x.shape);
  const y = Tensor.empty(x.device, [x.shape[0]! * times, ...x.shape.slice(1)], x.dtype);
  stridedCopy(
    x.device,
    [times, x.size],
    { view: x.view, elem: x.dtype, first: 0, strides: [0, 1] },
    { view: y.view, elem: y.dtype, first: 0, strides: [x.size, 1] },
  );
  return y;
}
