import { stridedCopy } from "../../kernels/strided_copy.ts";
import { ShapeError } from "../../util/errors.ts";
import { dataOf } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";
import { sumDims } from "./sum_dims.ts";

/** The whole batch `times` times, one copy after the other: [n, ...] → [times · n, ...]. */
export function repeat(x: Tensor, times: number): Tensor {
  dataOf("repeat", x);
  if (x.shape.length === 0) throw new ShapeError("repeat", "a single number [] has no batch");
  if (!Number.isInteger(times) || times < 1) throw new ShapeError("repeat", `${times} times`);
  if (times === 1) return x.reshape(...x.shape);
  const rule = {
    inputs: [x],
    save: () => ({}),
    backward: (g: Tensor) => [sumDims(g.reshape(times, x.size), [0]).reshape(...x.shape)],
  };
  return recorded(x.device, rule, () => repeated(x, times));
}

function repeated(x: Tensor, times: number): Tensor {
  const y = Tensor.empty(x.device, [x.shape[0]! * times, ...x.shape.slice(1)], x.dtype);
  stridedCopy(
    x.device,
    [times, x.size],
    { view: x.view, elem: x.dtype, first: 0, strides: [0, 1] },
    { view: y.view, elem: y.dtype, first: 0, strides: [x.size, 1] },
  );
  return y;
}
