// Oracles in float64 for what moves numbers, broadcasts them or makes them from little. Shapes are PyTorch's.

import type { Values } from "./products.ts";

type Shape = readonly number[];

export const size = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** The indices of every element of a shape, in memory order. */
function* places(shape: Shape): Generator<number[]> {
  for (let i = 0; i < size(shape); i++) {
    const place: number[] = [];
    for (let rest = i, d = shape.length - 1; d >= 0; d--) {
      place[d] = rest % shape[d]!;
      rest = Math.floor(rest / shape[d]!);
    }
    yield place;
  }
}

/** Where an element lies in a tensor of a shape; sizes of one repeat. */
const at = (shape: Shape, place: readonly number[]): number =>
  shape.reduce((offset, n, d) => offset * n + (n === 1 ? 0 : place[d + place.length - shape.length]!), 0);

/** The shape that two shapes broadcast to. */
export function broadcast(a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const size = (shape: Shape, i: number) => shape[i - rank + shape.length] ?? 1;
  return Array.from({ length: rank }, (_, i) => Math.max(size(a, i), size(b, i)));
}

/** apply(a, b) with both broadcast. */
export function elementwise(
  apply: (a: number, b: number) => number,
  [a, aShape]: readonly [Values, Shape],
  [b, bShape]: readonly [Values, Shape],
): Float64Array {
  return Float64Array.from(places(broadcast(aShape, bShape)), (place) =>
    apply(a[at(aShape, place)]!, b[at(bShape, place)]!),
  );
}

/** Σ cᵢ · tᵢ. */
export function weightedSum(terms: readonly (readonly [number, Values])[]): Float64Array {
  return Float64Array.from({ length: terms[0]![1].length }, (_, i) =>
    terms.reduce((sum, [coefficient, t]) => sum + coefficient * t[i]!, 0),
  );
}

/** Each element brought into min … max. */
export const clamp = (x: Values, min: number, max: number): Float64Array =>
  Float64Array.from(x, (value) => Math.min(Math.max(value, min), max));

/** Dimension i of the result is dimension dims[i] of x. */
export function permute(x: Values, shape: Shape, dims: Shape): Float64Array {
  return Float64Array.from(places(dims.map((dim) => shape[dim]!)), (place) => {
    const source = dims.reduce<number[]>(
      (indices, dim, i) => indices.with(dim, place[i]!),
      new Array(shape.length).fill(0),
    );
    return x[shape.reduce((offset, n, d) => offset * n + source[d]!, 0)]!;
  });
}

/** Entries start … end - 1 of a dimension. */
export function slice(x: Values, shape: Shape, dim: number, start: number, end: number): Float64Array {
  return Float64Array.from(
    places(shape.with(dim, end - start)),
    (place) => x[shape.reduce((offset, n, d) => offset * n + place[d]! + (d === dim ? start : 0), 0)]!,
  );
}

/** Tensors one after the other along a dimension; all sizes but that one agree. */
export function concat(parts: readonly (readonly [Values, Shape])[], dim: number): Float64Array {
  const [, first] = parts[0]!;
  const total = parts.reduce((sum, [, shape]) => sum + shape[dim]!, 0);
  return Float64Array.from(places(first.with(dim, total)), (place) => {
    let index = place[dim]!;
    const [x, shape] = parts.find(([, s]) => index < s[dim]! || ((index -= s[dim]!), false))!;
    return x[shape.reduce((offset, n, d) => offset * n + (d === dim ? index : place[d]!), 0)]!;
  });
}

/** Rows of a table by number; zeros for numbers outside it. */
export function embedding(ids: Values, table: Values, channels: number): Float64Array {
  return Float64Array.from({ length: ids.length * channels }, (_, i) => {
    const id = ids[Math.floor(i / channels)]!;
    return id < 0 ? 0 : (table[id * channels + (i % channels)] ?? 0);
  });
}

/** a[b, m, k] · c[b, k, n], or c[b, n, k]ᵀ; a batch of one is shared. */
export function matmul(
  a: Values,
  c: Values,
  [batches, m, k, n]: readonly [number, number, number, number],
  { transposed = false, shared = false } = {},
): Float64Array {
  return Float64Array.from(places([batches, m, n]), ([batch = 0, row = 0, column = 0]) => {
    const own = shared ? 0 : batch * k * n;
    let sum = 0;
    for (let l = 0; l < k; l++)
      sum += a[(batch * m + row) * k + l]! * c[own + (transposed ? column * k + l : l * n + column)]!;
    return sum;
  });
}

/** Sines and cosines of timesteps at dim / 2 frequencies, as diffusers' get_timestep_embedding. */
export function timestepEmbedding(
  timesteps: Values,
  dim: number,
  { flipSinToCos = false, downscaleFreqShift = 1 } = {},
): Float64Array {
  const half = dim / 2;
  return Float64Array.from({ length: timesteps.length * dim }, (_, i) => {
    const column = i % dim;
    const frequency = Math.exp((-Math.log(10000) * (column % half)) / (half - downscaleFreqShift));
    const angle = timesteps[Math.floor(i / dim)]! * frequency;
    return column < half !== flipSinToCos ? Math.sin(angle) : Math.cos(angle);
  });
}

/** Two runs of tokens [n, t, c] one after the other; each batch of a run serves its share of neighbours. */
export function joinRuns(n: number, runs: readonly (readonly [Values, Shape])[]): Float64Array {
  return Float64Array.from(
    Array.from({ length: n }, (_, batch) =>
      runs.flatMap(([x, [batches = 1, tokens = 0, c = 0]]) => {
        const own = Math.floor(batch / (n / batches)) * tokens * c;
        return Array.from({ length: tokens * c }, (_, i) => x[own + i]!);
      }),
    ).flat(),
  );
}
