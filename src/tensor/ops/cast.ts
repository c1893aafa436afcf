import { stridedCopy } from "../../kernels/strided_copy.ts";
import { DTypeError } from "../../util/errors.ts";
import { dataOf } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor, type DType } from "../tensor.ts";

/** The same numbers in another type; f16 rounds to nearest even. A tensor that has the type already is shared. */
export function cast(x: Tensor, dtype: DType): Tensor {
  dataOf("cast", x);
  if (x.dtype === dtype) return x.reshape(...x.shape);
  if (dtype === "i32" || (x.dtype === "i32" && dtype === "f16")) throw new DTypeError("cast", `${x.dtype} to ${dtype}`);
  const rule = { inputs: [x], save: () => ({}), backward: (g: Tensor) => [cast(g, x.dtype)] };
  return recorded(x.device, rule, () => converted(x, dtype));
}

function converted(x: Tensor, dtype: DType): Tensor {
  const y = Tensor.empty(x.device, x.shape, dtype);
  stridedCopy(
    x.device,
    [x.size],
    { view: x.view, elem: x.dtype, first: 0, strides: [1] },
    { view: y.view, elem: dtype, first: 0, strides: [1] },
  );
  return y;
}
