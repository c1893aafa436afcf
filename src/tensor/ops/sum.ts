import { ShapeError } from "../../util/errors.ts";
import { axis, count, sameShape, show } from "../../util/shape.ts";
import { floatType, shapeError } from "../check.ts";
import { recorded } from "../recording.ts";
import type { Tensor } from "../tensor.ts";
import { mul, sub } from "./binary.ts";
import { cast } from "./cast.ts";
import { expandTo, sumDims } from "./sum_dims.ts";

/** Options of `sum` and `mean`. */
export interface ReduceOptions {
  /** Dimensions to reduce; all of them unless given. */
  readonly dims?: readonly number[];
  /** Reduced dimensions stay, with size one. */
  readonly keepDims?: boolean;
}

function reduce(op: "sum" | "mean", x: Tensor, { dims, keepDims = false }: ReduceOptions): Tensor {
  floatType(op, x);
  const { device, shape } = x;
  const own = (dims ?? shape.map((_, i) => i)).map((dim) => axis(op, dim, shape.length));
  if (new Set(own).size !== own.length) throw new ShapeError(op, `${show(own)} names a dimension twice`);
  const factor = op === "mean" ? 1 / count(own.map((dim) => shape[dim]!)) : 1;
  const ones = shape.map((size, i) => (own.includes(i) ? 1 : size));
  const rule = {
    inputs: [x],
    save: () => ({}),
    backward: (g: Tensor) => [expandTo(mul(g, factor).reshape(...ones), shape)],
  };
  const target = keepDims ? ones : shape.filter((_, i) => !own.includes(i));
  return recorded(device, rule, () => device.scope(() => sumDims(x, own, { factor }).reshape(...target)));
}

/** Σ x over `dims`, in float32, in one order. @throws ShapeError, DTypeError */
export const sum = (x: Tensor, options: ReduceOptions = {}): Tensor => reduce("sum", x, options);
/** The mean of x over `dims`. @throws ShapeError, DTypeError */
export const mean = (x: Tensor, options: ReduceOptions = {}): Tensor => reduce("mean", x, options);

/**
 * mean((x - y)²), computed in float32: one number of shape [].
 * @throws ShapeError when shapes differ; DTypeError
 */
export function mseLoss(x: Tensor, y: Tensor): Tensor {
  if (!sameShape(x.shape, y.shape)) throw shapeError("mseLoss", "shapes differ", x.shape, y.shape);
  return x.device.scope(() => {
    const difference = sub(cast(x, "f32"), cast(y, "f32"));
    return mean(mul(difference, difference));
  });
}
