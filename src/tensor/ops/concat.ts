import { stridedCopy } from "../../kernels/strided_copy.ts";
import { DTypeError, ShapeError } from "../../util/errors.ts";
import { axis, count, show } from "../../util/shape.ts";
import { dataOf } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";
import { slice } from "./slice.ts";

/**
 * Tensors one after the other along a dimension (tokens, channels, images).
 * @throws ShapeError when another dimension differs; DTypeError
 */
export function concat(tensors: readonly Tensor[], dim: number): Tensor {
  const first = tensors[0];
  if (!first) throw new ShapeError("concat", "no tensors");
  const at = axis("concat", dim, first.shape.length);
  for (const t of tensors) {
    dataOf("concat", t);
    if (t.dtype !== first.dtype) throw new DTypeError("concat", `${first.dtype} and ${t.dtype}`);
    if (t.shape.length !== first.shape.length || t.shape.some((size, i) => i !== at && size !== first.shape[i]))
      throw new ShapeError("concat", `shapes differ beside dimension ${at}: ${show(first.shape)} and ${show(t.shape)}`);
  }
  if (tensors.length === 1) return first.reshape(...first.shape);
  const rule = {
    inputs: tensors,
    save: () => ({}),
    backward: (g: Tensor, _: object, needs: readonly boolean[]) => {
      let start = 0;
      return tensors.map((t, i) => {
        const from = start;
        start += t.shape[at]!;
        return needs[i] ? slice(g, at, from, start) : undefined;
      });
    },
  };
  return recorded(first.device, rule, () => joined(tensors, at));
}

function joined(tensors: readonly Tensor[], at: number): Tensor {
  const first = tensors[0]!;
  const total = tensors.reduce((sum, t) => sum + t.shape[at]!, 0);
  const y = Tensor.empty(first.device, first.shape.with(at, total), first.dtype);
  const outer = count(first.shape.slice(0, at));
  const inner = count(first.shape.slice(at + 1));
  let start = 0;
  for (const t of tensors) {
    const run = t.shape[at]! * inner;
    stridedCopy(
      y.device,
      [outer, run],
      { view: t.view, elem: t.dtype, first: 0, strides: [run, 1] },
      { view: y.view, elem: y.dtype, first: start, strides: [total * inner, 1] },
    );
    start += run;
  }
  return y;
}
