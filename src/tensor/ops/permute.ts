import { stridedCopy } from "../../kernels/strided_copy.ts";
import { ShapeError } from "../../util/errors.ts";
import { show, stridesOf } from "../../util/shape.ts";
import { dataOf } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";

/**
 * The same numbers with their dimensions in another order: result dimension i is x's dimension `dims[i]`.
 * @throws ShapeError when `dims` is not an order of x's dimensions, or there are more than five
 */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  dataOf("permute", x);
  const rank = x.shape.length;
  if (rank > 5 || dims.length !== rank || [...dims].sort((a, b) => a - b).some((dim, i) => dim !== i))
    throw new ShapeError("permute", `${show(dims)} is no order of the dimensions of ${show(x.shape)}`);
  const rule = {
    inputs: [x],
    save: () => ({}),
    backward: (g: Tensor) => [
      permute(
        g,
        dims.map((_, i) => dims.indexOf(i)),
      ),
    ],
  };
  return recorded(x.device, rule, () => permuted(x, dims));
}

function permuted(x: Tensor, dims: readonly number[]): Tensor {
  const shape = dims.map((dim) => x.shape[dim]!);
  const strides = stridesOf(x.shape);
  const y = Tensor.empty(x.device, shape, x.dtype);
  stridedCopy(
    x.device,
    shape,
    { view: x.view, elem: x.dtype, first: 0, strides: dims.map((dim) => strides[dim]!) },
    { view: y.view, elem: y.dtype, first: 0, strides: stridesOf(shape) },
  );
  return y;
}
