import { ShapeError } from "../util/errors.ts";
import type { RgbImage } from "../vision/image.ts";

/** A definition of the structural similarity (Wang et al. 2004, IEEE TIP 13(4), equation 13). */
export interface SsimDefinition {
  /** Weights of the window in each direction; an odd number, which add up to 1. */
  readonly window: readonly number[];
  /**
   * Which pixels are counted. `reflect`: all, the picture being reflected at its border; `inside`: those whose whole
   * window lies inside the picture.
   */
  readonly border: "reflect" | "inside";
  /** By what variances and covariance are multiplied: n / (n - 1) makes sample covariances of them. */
  readonly covariance: number;
  /** Whether a variance below 0, which only rounding makes, becomes 0. */
  readonly clamp: boolean;
}

const GAUSSIAN = gaussian(11, 1.5);

/**
 * The definitions that are in use, all with k1 = 0.01 and k2 = 0.03, mean over pixels and channels:
 * `torchmetrics` as that package has it from release 1.5 on, `torchmetrics-1.4` as it was before, when the papers'
 * tables were made (it leaves out a border of five pixels), and `skimage` with that package's defaults.
 */
export const SSIM = {
  torchmetrics: { window: GAUSSIAN, border: "reflect", covariance: 1, clamp: true },
  "torchmetrics-1.4": { window: GAUSSIAN, border: "inside", covariance: 1, clamp: true },
  skimage: { window: new Array<number>(7).fill(1 / 7), border: "inside", covariance: 49 / 48, clamp: false },
} as const satisfies Record<string, SsimDefinition>;

/**
 * Structural similarity of two pictures of one size, at most 1, of numbers between 0 and 1.
 * @throws ShapeError for two sizes, and for pictures smaller than the window
 */
export function ssim(a: RgbImage, b: RgbImage, { window, border, covariance, clamp }: SsimDefinition): number {
  checkSizes("ssim", a, b);
  const { width, height } = a;
  const reach = (window.length - 1) / 2;
  const least = border === "reflect" ? reach + 1 : window.length;
  if (Math.min(width, height) < least)
    throw new ShapeError("ssim", `pictures of ${width}x${height}; at least ${least} pixels a side are needed`);
  const area = { width, height, window, border };
  let sum = 0;
  let count = 0;
  for (let channel = 0; channel < 3; channel++) {
    const x = plane(a, channel);
    const y = plane(b, channel);
    const meanX = filter(x, area);
    const meanY = filter(y, area);
    const meanXX = filter(multiply(x, x), area);
    const meanYY = filter(multiply(y, y), area);
    const meanXY = filter(multiply(x, y), area);
    const variance = (square: number, mean: number) => {
      const value = covariance * (square - mean * mean);
      return clamp ? Math.max(0, value) : value;
    };
    for (let i = 0; i < meanX.length; i++) {
      const [mx, my] = [meanX[i]!, meanY[i]!];
      const spread = variance(meanXX[i]!, mx) + variance(meanYY[i]!, my);
      const shared = covariance * (meanXY[i]! - mx * my);
      sum += ((2 * mx * my + C1) * (2 * shared + C2)) / ((mx * mx + my * my + C1) * (spread + C2));
    }
    count += meanX.length;
  }
  return sum / count;
}

const C1 = 0.01 ** 2;
const C2 = 0.03 ** 2;

/** Mean of the squared differences of two pictures, of numbers between 0 and 1. @throws ShapeError */
export function meanSquaredError(a: RgbImage, b: RgbImage): number {
  checkSizes("psnr", a, b);
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i]! - b.data[i]!) ** 2;
  return sum / a.data.length / 255 ** 2;
}

/** Peak signal-to-noise ratio in decibels; infinite for equal pictures. @throws ShapeError */
export const psnr = (a: RgbImage, b: RgbImage): number => -10 * Math.log10(meanSquaredError(a, b));

function checkSizes(op: string, a: RgbImage, b: RgbImage): void {
  if (a.width !== b.width || a.height !== b.height)
    throw new ShapeError(op, `pictures of ${a.width}x${a.height} and ${b.width}x${b.height}`);
}

/** Weights exp(-d² / 2σ²), d from the middle, adding up to 1. */
function gaussian(size: number, sigma: number): number[] {
  const weights = Array.from({ length: size }, (_, i) => Math.exp(-(((i - (size - 1) / 2) / sigma) ** 2) / 2));
  const sum = weights.reduce((total, weight) => total + weight);
  return weights.map((weight) => weight / sum);
}

function plane({ width, height, data }: RgbImage, channel: number): Float64Array {
  const values = new Float64Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = data[3 * i + channel]! / 255;
  return values;
}

function multiply(a: Float64Array, b: Float64Array): Float64Array {
  const values = new Float64Array(a.length);
  for (let i = 0; i < values.length; i++) values[i] = a[i]! * b[i]!;
  return values;
}

interface Area {
  readonly width: number;
  readonly height: number;
  readonly window: readonly number[];
  readonly border: SsimDefinition["border"];
}

/** The window's weighted mean around every pixel that counts. */
function filter(values: Float64Array, { width, height, window, border }: Area): Float64Array {
  const weights = Float64Array.from(window);
  const margin = border === "reflect" ? (weights.length - 1) / 2 : 0;
  const columns = width + 2 * margin - weights.length + 1;
  const rows = height + 2 * margin - weights.length + 1;
  const across = new Float64Array(columns * height);
  const line = new Float64Array(width + 2 * margin);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < line.length; x++) line[x] = values[y * width + mirrored(x - margin, width)]!;
    for (let x = 0; x < columns; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k]! * line[x + k]!;
      across[y * columns + x] = sum;
    }
  }
  const result = new Float64Array(columns * rows);
  for (let y = 0; y < rows; y++)
    for (let k = 0; k < weights.length; k++) {
      const [weight, from, to] = [weights[k]!, mirrored(y + k - margin, height) * columns, y * columns];
      for (let x = 0; x < columns; x++) result[to + x] = result[to + x]! + weight * across[from + x]!;
    }
  return result;
}

/** Places beyond an end, reflected at the last pixel, which is not repeated. */
const mirrored = (at: number, size: number): number => (at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at);
