import { ShapeError } from "./errors.ts";

export type Shape = readonly number[];

/** Number of elements. */
export const count = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i]);

/** `[2, 77, 768]`, as errors print it. */
export const show = (shape: Shape): string => `[${shape.join(", ")}]`;

/** The shape that two shapes broadcast to (PyTorch's rule). */
export function broadcastShape(op: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new ShapeError(op, `shapes do not broadcast: ${show(a)} and ${show(b)}`);
    return x === 1 ? y : x;
  });
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
}

/** A dimension counted from the front; negative ones count from the back. */
export function axis(op: string, dim: number, rank: number): number {
  const at = dim < 0 ? dim + rank : dim;
  if (!Number.isInteger(at) || at < 0 || at >= rank)
    throw new ShapeError(op, `dimension ${dim} of a tensor with ${rank}`);
  return at;
}
