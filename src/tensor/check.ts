import { DTypeError, InputError, ShapeError } from "../util/errors.ts";
import { show, type Shape } from "../util/shape.ts";
import type { Tensor } from "./tensor.ts";

/** Throws where JavaScript, which checks no types, gave something that is no tensor. */
function given(op: string, name: string, x: unknown): void {
  const found = x === null ? "null" : typeof x;
  if (found !== "object") throw new InputError(op, `${name} is ${found}, a tensor is needed`);
}

/** Throws unless a tensor is data in natural order with at least one element. */
export function dataOf(op: string, x: Tensor): void {
  given(op, "x", x);
  if (x.packed) throw new ShapeError(op, `a packed weight ${show(x.shape)} is no data: only linear and conv2d read it`);
  if (x.size === 0) throw new ShapeError(op, `a size of 0 in ${show(x.shape)}`);
}

/** The tensor's type where the op computes with floating point. */
export function floatType(op: string, x: Tensor): "f32" | "f16" {
  dataOf(op, x);
  if (x.dtype === "i32") throw new DTypeError(op, `x is i32, floating point is needed`);
  return x.dtype;
}

/** Throws unless both tensors have one type. */
export function sameType(op: string, names: readonly [string, string], a: Tensor, b: Tensor): "f32" | "f16" {
  given(op, names[0], a);
  given(op, names[1], b);
  if (a.dtype !== b.dtype) throw new DTypeError(op, `${names[0]} is ${a.dtype} and ${names[1]} is ${b.dtype}`);
  if (b.size === 0) throw new ShapeError(op, `a size of 0 in ${show(b.shape)}`);
  return floatType(op, a);
}

/** A bias or a norm's weight: f32, one value a channel. */
export function channelVector(op: string, name: string, vector: Tensor, channels: number): Tensor {
  if (vector.dtype !== "f32") throw new DTypeError(op, `${name} is ${vector.dtype}, f32 is needed`);
  if (vector.shape.length !== 1 || vector.shape[0] !== channels)
    throw new ShapeError(op, `${name} is ${show(vector.shape)} for ${channels} channels`);
  return vector;
}

export function shapeError(op: string, what: string, ...shapes: readonly Shape[]): ShapeError {
  return new ShapeError(op, `${what}: ${shapes.map(show).join(" and ")}`);
}
