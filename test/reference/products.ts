// Oracles in float64, written for plainness: no speed, no tiles. Images are [n, h, w, c], weights PyTorch's shapes.

import { activations, type ActivationName } from "./elementwise.ts";

export type Values = ArrayLike<number>;

export interface EpilogueValues {
  readonly bias?: Values;
  readonly activation?: ActivationName;
  readonly residual?: Values;
}

/** activation(x[m, k] · w[n, k]ᵀ + bias) + residual. */
export function linear(
  x: Values,
  w: Values,
  [m, n, k]: readonly [number, number, number],
  { bias, activation = "none", residual }: EpilogueValues = {},
): Float64Array {
  const y = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = bias ? bias[j]! : 0;
      for (let l = 0; l < k; l++) sum += x[i * k + l]! * w[j * k + l]!;
      y[i * n + j] = activations[activation](sum) + (residual ? residual[i * n + j]! : 0);
    }
  return y;
}

export interface ConvShape {
  readonly n: number;
  readonly h: number;
  readonly w: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: readonly [number, number];
  readonly stride?: number;
  /** top, bottom, left, right. */
  readonly pad?: readonly [number, number, number, number];
}

export const convOutput = ({ h, w, kernel, stride = 1, pad = [0, 0, 0, 0] }: ConvShape): [number, number] => [
  Math.floor((h + pad[0] + pad[1] - kernel[0]) / stride) + 1,
  Math.floor((w + pad[2] + pad[3] - kernel[1]) / stride) + 1,
];

/** activation(conv2d + bias + shift[n]) + residual. */
export function conv2d(
  x: Values,
  weight: Values,
  shape: ConvShape,
  post: EpilogueValues & { readonly shift?: Values } = {},
): Float64Array {
  const { n, h, w, inputs, outputs, kernel, stride = 1, pad = [0, 0, 0, 0] } = shape;
  const { bias, shift, activation = "none", residual } = post;
  const [oh, ow] = convOutput(shape);
  const y = new Float64Array(n * oh * ow * outputs);
  let at = 0;
  for (let image = 0; image < n; image++)
    for (let oy = 0; oy < oh; oy++)
      for (let ox = 0; ox < ow; ox++)
        for (let o = 0; o < outputs; o++, at++) {
          let sum = (bias ? bias[o]! : 0) + (shift ? shift[image * outputs + o]! : 0);
          for (let ky = 0; ky < kernel[0]; ky++)
            for (let kx = 0; kx < kernel[1]; kx++) {
              const [iy, ix] = [oy * stride + ky - pad[0], ox * stride + kx - pad[2]];
              if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
              for (let i = 0; i < inputs; i++)
                sum +=
                  x[((image * h + iy) * w + ix) * inputs + i]! *
                  weight[((o * inputs + i) * kernel[0] + ky) * kernel[1] + kx]!;
            }
          y[at] = activations[activation](sum) + (residual ? residual[at]! : 0);
        }
  return y;
}

export interface AttentionShape {
  readonly n: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly headDim: number;
  readonly causal?: boolean;
  readonly scale?: number;
}

/** softmax(scale · q kᵀ) v of every head; tokens lie [n][token][head][channel]. */
export function attention(q: Values, k: Values, v: Values, shape: AttentionShape): Float64Array {
  const { n, queries, keys, heads, headDim, causal = false, scale = 1 / Math.sqrt(headDim) } = shape;
  const width = heads * headDim;
  const y = new Float64Array(n * queries * width);
  for (let b = 0; b < n; b++)
    for (let head = 0; head < heads; head++)
      for (let i = 0; i < queries; i++) {
        const at = (b * queries + i) * width + head * headDim;
        const key = (j: number) => (b * keys + j) * width + head * headDim;
        const scores = Array.from({ length: causal ? Math.min(keys, i + 1) : keys }, (_, j) => {
          let score = 0;
          for (let c = 0; c < headDim; c++) score += q[at + c]! * k[key(j) + c]!;
          return score * scale;
        });
        const weights = softmax(scores, scores.length);
        for (let c = 0; c < headDim; c++)
          for (let j = 0; j < scores.length; j++) y[at + c]! += weights[j]! * v[key(j) + c]!;
      }
  return y;
}

/** exp(x - max) / Σ over rows of `length`. */
export function softmax(x: Values, length: number): Float64Array {
  const y = Float64Array.from(x);
  for (let row = 0; row < y.length; row += length) {
    const own = y.subarray(row, row + length);
    const high = own.reduce((a, b) => Math.max(a, b));
    let sum = 0;
    for (let i = 0; i < length; i++) sum += own[i] = Math.exp(own[i]! - high);
    for (let i = 0; i < length; i++) own[i]! /= sum;
  }
  return y;
}
