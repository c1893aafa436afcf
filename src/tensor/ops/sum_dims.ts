import { stridedCopy } from "../../kernels/strided_copy.ts";
import { sum as kernel } from "../../kernels/sum.ts";
import { count, stridesOf, type Shape } from "../../util/shape.ts";
import { floatType } from "../check.ts";
import { Tensor } from "../tensor.ts";

// Sums over dimensions and their opposite, unrecorded: backward passes are made of them.

/** factor · Σ of x over some of its dimensions, which stay with size one. */
export function sumDims(
  x: Tensor,
  dims: readonly number[],
  { factor = 1, dtype = floatType("sum", x) }: { factor?: number; dtype?: "f32" | "f16" } = {},
): Tensor {
  const runs = runsOf(dims.filter((dim) => x.shape[dim] !== 1));
  if (runs.length === 0) runs.push([x.shape.length, x.shape.length - 1]); // a run of nothing: x · factor
  return x.device.scope(() => {
    let y = x;
    for (const [i, [first, last]] of runs.entries()) {
      const whole = i === runs.length - 1; // what comes before stays f32
      const shape = y.shape.map((size, d) => (d >= first && d <= last ? 1 : size));
      const part = Tensor.empty(x.device, shape, whole ? dtype : "f32");
      kernel(x.device, {
        x: y.view,
        y: part.view,
        from: floatType("sum", y),
        to: whole ? dtype : "f32",
        sizes: [count(y.shape.slice(0, first)), count(y.shape.slice(first, last + 1)), count(y.shape.slice(last + 1))],
        factor: whole ? factor : 1,
      });
      y = part;
    }
    return y;
  });
}

/** Dimensions as runs [first, last] of neighbours, the last run first. */
function runsOf(dims: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  for (const dim of dims.toSorted((a, b) => b - a)) {
    const run = runs.at(-1);
    if (run && run[0] === dim + 1) run[0] = dim;
    else runs.push([dim, dim]);
  }
  return runs;
}

/** The sum over everything that broadcasting `shape` to g's shape repeated: the gradient of what was broadcast. */
export function sumTo(g: Tensor, shape: Shape): Tensor {
  const lead = g.shape.length - shape.length;
  const dims = g.shape.flatMap((size, i) => (i < lead || (shape[i - lead] === 1 && size !== 1) ? [i] : []));
  return (dims.length === 0 ? g : sumDims(g, dims)).reshape(...shape);
}

/** The sums of all columns of x [..., c]: [c], f32. */
export const sumRows = (x: Tensor): Tensor =>
  sumDims(x.reshape(-1, x.shape.at(-1)!), [0], { dtype: "f32" }).reshape(x.shape.at(-1)!);

/** x repeated along its dimensions of size one until it has `shape`, of the same rank and at most five. */
export function expandTo(x: Tensor, shape: Shape): Tensor {
  const y = Tensor.empty(x.device, shape, x.dtype);
  const own = stridesOf(x.shape).map((stride, i) => (x.shape[i] === 1 ? 0 : stride));
  stridedCopy(
    x.device,
    shape,
    { view: x.view, elem: x.dtype, first: 0, strides: own },
    { view: y.view, elem: y.dtype, first: 0, strides: stridesOf(shape) },
  );
  return y;
}
