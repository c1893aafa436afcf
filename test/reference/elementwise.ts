// Oracles in float64 for what works on single elements, and for norms.

import type { Values } from "./products.ts";

/** Error function to double precision: its series near zero, a continued fraction (Lentz) for the tail. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z < 2.5) {
    let term = z;
    let sum = z;
    for (let n = 1; n < 200 && Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 120; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * (z + fraction)));
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

export const activations = {
  none: (x: number) => x,
  relu: (x: number) => Math.max(x, 0),
  silu: (x: number) => x * sigmoid(x),
  gelu: (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  geluTanh: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  quickGelu: (x: number) => x * sigmoid(1.702 * x),
  tanh: Math.tanh,
  sigmoid,
  exp: Math.exp,
} as const;

export type ActivationName = keyof typeof activations;

/** x[rows, 2c] → first half · gelu(second half). */
export function geglu(x: Values, c: number): Float64Array {
  return Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const at = Math.floor(i / c) * 2 * c + (i % c);
    return x[at]! * activations.gelu(x[at + c]!);
  });
}

export interface NormValues {
  readonly weight: Values;
  readonly bias: Values;
  readonly eps: number;
}

/** Over rows of `channels`. */
export function layerNorm(x: Values, channels: number, { weight, bias, eps }: NormValues): Float64Array {
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += channels) {
    const [mean, rate] = statistics(
      Array.from({ length: channels }, (_, i) => x[row + i]!),
      eps,
    );
    for (let i = 0; i < channels; i++) y[row + i] = (x[row + i]! - mean) * rate * weight[i]! + bias[i]!;
  }
  return y;
}

/** Over [n, pixels, channels] in groups of channels. */
export function groupNorm(
  x: Values,
  [n, pixels, channels]: readonly [number, number, number],
  groups: number,
  { weight, bias, eps }: NormValues,
): Float64Array {
  const width = channels / groups;
  const y = new Float64Array(x.length);
  for (let image = 0; image < n; image++)
    for (let group = 0; group < groups; group++) {
      const places = Array.from(
        { length: pixels * width },
        (_, i) => (image * pixels + Math.floor(i / width)) * channels + group * width + (i % width),
      );
      const [mean, rate] = statistics(
        places.map((at) => x[at]!),
        eps,
      );
      for (const at of places) y[at] = (x[at]! - mean) * rate * weight[at % channels]! + bias[at % channels]!;
    }
  return y;
}

function statistics(values: readonly number[], eps: number): [mean: number, rate: number] {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return [mean, 1 / Math.sqrt(variance + eps)];
}

export interface ResizeShape {
  readonly n: number;
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
  readonly c: number;
  /** interpolate's scale_factor, where it was given instead of a size. */
  readonly factor?: number;
}

/** PyTorch's interpolate. Nearest multiplies in float32, as PyTorch does: the product decides which pixel is taken. */
export function interpolate(
  x: Values,
  { n, input, output, c, factor }: ResizeShape,
  mode: "nearest" | "bilinear",
  alignCorners = false,
): Float64Array {
  const y = new Float64Array(n * output[0] * output[1] * c);
  const pixel = (image: number, row: number, column: number, channel: number) =>
    x[((image * input[0] + row) * input[1] + column) * c + channel]!;
  const ratio = (axis: 0 | 1) => (factor === undefined ? input[axis] / output[axis] : 1 / factor);
  const source = (out: number, axis: 0 | 1) =>
    alignCorners
      ? (out * (input[axis] - 1)) / Math.max(output[axis] - 1, 1)
      : Math.max((out + 0.5) * ratio(axis) - 0.5, 0);
  const nearest = (out: number, axis: 0 | 1) =>
    Math.min(Math.floor(Math.fround(out * Math.fround(ratio(axis)))), input[axis] - 1);
  let at = 0;
  for (let image = 0; image < n; image++)
    for (let oy = 0; oy < output[0]; oy++)
      for (let ox = 0; ox < output[1]; ox++)
        for (let channel = 0; channel < c; channel++, at++) {
          if (mode === "nearest") {
            y[at] = pixel(image, nearest(oy, 0), nearest(ox, 1), channel);
            continue;
          }
          const [sy, sx] = [source(oy, 0), source(ox, 1)];
          const [y0, x0] = [Math.min(Math.floor(sy), input[0] - 1), Math.min(Math.floor(sx), input[1] - 1)];
          const [y1, x1] = [Math.min(y0 + 1, input[0] - 1), Math.min(x0 + 1, input[1] - 1)];
          const [fy, fx] = [sy - y0, sx - x0];
          const top = pixel(image, y0, x0, channel) * (1 - fx) + pixel(image, y0, x1, channel) * fx;
          const bottom = pixel(image, y1, x0, channel) * (1 - fx) + pixel(image, y1, x1, channel) * fx;
          y[at] = top * (1 - fy) + bottom * fy;
        }
  return y;
}

/** Maximum or mean (zeros counted) under a window. */
export function pool(
  x: Values,
  { n, input, output, c }: ResizeShape,
  kind: "max" | "average",
  { kernel, stride, pad }: { kernel: number; stride: number; pad: number },
): Float64Array {
  const y = new Float64Array(n * output[0] * output[1] * c);
  let at = 0;
  for (let image = 0; image < n; image++)
    for (let oy = 0; oy < output[0]; oy++)
      for (let ox = 0; ox < output[1]; ox++)
        for (let channel = 0; channel < c; channel++, at++) {
          const values: number[] = [];
          for (let ky = 0; ky < kernel; ky++)
            for (let kx = 0; kx < kernel; kx++) {
              const [iy, ix] = [oy * stride + ky - pad, ox * stride + kx - pad];
              if (iy >= 0 && iy < input[0] && ix >= 0 && ix < input[1])
                values.push(x[((image * input[0] + iy) * input[1] + ix) * c + channel]!);
            }
          y[at] = kind === "max" ? Math.max(...values) : values.reduce((a, b) => a + b, 0) / kernel ** 2;
        }
  return y;
}
