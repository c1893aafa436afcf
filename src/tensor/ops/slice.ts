import { stridedCopy } from "../../kernels/strided_copy.ts";
import { ShapeError } from "../../util/errors.ts";
import { axis, count, show } from "../../util/shape.ts";
import { dataOf } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";

/**
 * Entries start … end - 1 along a dimension, as a copy.
 * @throws ShapeError when they do not lie inside
 */
export function slice(x: Tensor, dim: number, start: number, end: number): Tensor {
  dataOf("slice", x);
  const at = axis("slice", dim, x.shape.length);
  const size = x.shape[at]!;
  if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= size))
    throw new ShapeError("slice", `${start} to ${end} of dimension ${at} of ${show(x.shape)}`);
  if (start === 0 && end === size) return x.reshape(...x.shape);
  const rule = { inputs: [x], save: () => ({}), backward: (g: Tensor) => [placed(g, at, start, size)] };
  return recorded(x.device, rule, () => {
    const y = Tensor.empty(x.device, x.shape.with(at, end - start), x.dtype);
    const [outer, inner] = [count(x.shape.slice(0, at)), count(x.shape.slice(at + 1))];
    const run = (end - start) * inner;
    stridedCopy(
      x.device,
      [outer, run],
      { view: x.view, elem: x.dtype, first: start * inner, strides: [size * inner, 1] },
      { view: y.view, elem: y.dtype, first: 0, strides: [run, 1] },
    );
    return y;
  });
}

/** x at `start` of a dimension of `size`, zeros around it: what a slice's gradient is in the whole. Unrecorded. */
export function placed(x: Tensor, at: number, start: number, size: number): Tensor {
  const y = Tensor.empty(x.device, x.shape.with(at, size), x.dtype);
  const [outer, inner] = [count(x.shape.slice(0, at)), count(x.shape.slice(at + 1))];
  const own = x.shape[at]!;
  const to = (first: number) => ({ view: y.view, elem: y.dtype, first: first * inner, strides: [size * inner, 1] });
  const from = { view: x.view, elem: x.dtype, first: 0, strides: [own * inner, 1] };
  stridedCopy(x.device, [outer, own * inner], from, to(start));
  stridedCopy(x.device, [outer, start * inner], "zeros", to(0));
  stridedCopy(x.device, [outer, (size - start - own) * inner], "zeros", to(start + own));
  return y;
}
