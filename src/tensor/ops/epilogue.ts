import type { Activation } from "../../kernels/activation.ts";
import { sameShape, type Shape } from "../../util/shape.ts";
import { channelVector, floatType, sameType, shapeError } from "../check.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./binary.ts";
import { cropChannels } from "./pad.ts";

// What the products (linear, matmul, conv2d) share.

export interface LinearOptions {
  /** [out], f32. */
  readonly bias?: Tensor | undefined;
  readonly activation?: Activation;
  /** Of the result's shape and type; added last. */
  readonly residual?: Tensor | undefined;
}

/** What backward passes of products read: the left side for the right one's gradient and the other way round. */
export type ProductOperands = Readonly<Record<"x" | "weight" | "bias" | "shift", Tensor | undefined>>;

/** Those of them that are needed; with an activation all, since what it was applied to is computed again. */
export function productOperands(
  { x, weight, bias, shift }: ProductOperands,
  activation: Activation,
  [needX, needWeight]: readonly boolean[],
): ProductOperands {
  if (activation !== "none") return { x, weight, bias, shift };
  return { x: needWeight ? x : undefined, weight: needX ? weight : undefined, bias: undefined, shift: undefined };
}

/** Cuts the padding off the columns, and adds the residual that the kernel could not. */
export function finish(y: Tensor, columns: number, residual: Tensor | undefined): Tensor {
  if (y.shape.at(-1) === columns) return y;
  const cropped = cropChannels(y, columns);
  return residual ? add(cropped, residual) : cropped;
}

/** Bias and residual of a product must fit its result. */
export function checkEpilogue(
  op: string,
  x: Tensor,
  shape: Shape,
  { bias, residual }: Pick<LinearOptions, "bias" | "residual">,
): void {
  if (bias) channelVector(op, "bias", bias, shape.at(-1)!);
  if (!residual) return;
  floatType(op, residual);
  if (!sameShape(residual.shape, shape))
    throw shapeError(op, "residual is not of the result's shape", residual.shape, shape);
  sameType(op, ["x", "residual"], x, residual);
}
