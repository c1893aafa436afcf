import type { Tensor } from "../tensor/tensor.ts";
import { fromFloat, type RgbImage } from "../vision/image.ts";

/**
 * What latents look like, by a linear map from their channels to colours. Latents of Stable Diffusion's kind are nearly
 * linear in the colours of the pixels below; the map is fitted to one picture and its latents, by least squares, so that
 * any autoencoder will do and none is run.
 */
export interface LatentColours {
  /** Channels of a latent. */
  readonly channels: number;
  /** [channels + 1, 3]; the last row is what is added. */
  readonly weights: Float64Array;
}

/** Share of the variance by which the fit is held back where a channel says nothing. */
const RIDGE = 1e-3;

/**
 * Fits the map to a picture and its latents.
 * @param latents - [h, w, channels], row by row
 * @param image - of size h · k x w · k for a whole k: the mean of k x k pixels belongs to each latent
 */
export function fitColours(latents: Float32Array, channels: number, image: RgbImage, scale: number): LatentColours {
  const n = channels + 1;
  const colours = boxMeans(image, scale);
  const places = colours.length / 3;
  const normal = new Float64Array(n * (n + 3)); // [XᵀX | XᵀY]
  const row = new Float64Array(n + 3);
  for (let i = 0; i < places; i++) {
    for (let c = 0; c < channels; c++) row[c] = latents[i * channels + c]!;
    row[channels] = 1;
    for (let c = 0; c < 3; c++) row[n + c] = colours[3 * i + c]!;
    for (let a = 0; a < n; a++) for (let b = 0; b < n + 3; b++) normal[a * (n + 3) + b]! += row[a]! * row[b]!;
  }
  for (let a = 0; a < channels; a++) normal[a * (n + 3) + a]! += RIDGE * places;
  return { channels, weights: solve(normal, n, 3) };
}

/** Mean colours of `scale` x `scale` pixels, 0…1, [h, w, 3]. */
function boxMeans({ width, height, data }: RgbImage, scale: number): Float64Array {
  const [w, h] = [width / scale, height / scale];
  const means = new Float64Array(w * h * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const to = (Math.floor(y / scale) * w + Math.floor(x / scale)) * 3;
      const from = (y * width + x) * 3;
      for (let c = 0; c < 3; c++) means[to + c]! += data[from + c]! / (255 * scale * scale);
    }
  return means;
}

/** Solves A X = B of the rows [A | B], A symmetric and positive definite: Gauss and Jordan without pivoting. */
function solve(rows: Float64Array, n: number, columns: number): Float64Array {
  const width = n + columns;
  for (let p = 0; p < n; p++) {
    const pivot = rows[p * width + p]!;
    for (let c = p; c < width; c++) rows[p * width + c]! /= pivot;
    for (let r = 0; r < n; r++) {
      const factor = r === p ? 0 : rows[r * width + p]!;
      for (let c = p; c < width && factor !== 0; c++) rows[r * width + c]! -= factor * rows[p * width + c]!;
    }
  }
  return Float64Array.from(
    { length: n * columns },
    (_, i) => rows[Math.floor(i / columns) * width + n + (i % columns)]!,
  );
}

/** A picture of latents [h, w, channels], one pixel each. */
export function showLatents(latents: Float32Array, map: LatentColours, width: number, height: number): RgbImage {
  const { channels, weights } = map;
  const values = new Float32Array(width * height * 3);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) {
      let sum = weights[channels * 3 + c]!;
      for (let k = 0; k < channels; k++) sum += weights[k * 3 + c]! * latents[i * channels + k]!;
      values[3 * i + c] = sum;
    }
  return fromFloat(values, width, height);
}

/**
 * What turns a run's expected latents into pictures, fitted to the person.
 * @param original - the person's latents, [1, h, w, channels], not yet scaled by `factor`
 */
export async function previewer(
  original: Tensor,
  factor: number,
  person: RgbImage,
  scale: number,
  show: (image: RgbImage, done: number, total: number) => void,
): Promise<(clean: Tensor, done: number, total: number) => Promise<void>> {
  const [, height = 0, width = 0, channels = 0] = original.shape;
  const known = (await original.data()).map((value) => value * factor);
  const map = fitColours(known, channels, person, scale);
  return async (clean, done, total) => show(showLatents(await clean.data(), map, width, height), done, total);
}
