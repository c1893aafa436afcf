import { ShapeError } from "../util/errors.ts";
import { channelsOf, type GrayImage, type RgbImage } from "./image.ts";

export type Filter = "nearest" | "bilinear" | "bicubic" | "lanczos";

/** Part of a picture in pixels from its top left corner; fractions are allowed. */
export type Box = readonly [left: number, top: number, right: number, bottom: number];

/**
 * Resizes as the `Image.resize` of Pillow 9 does, byte for byte: the filter widens when a picture shrinks
 * (antialiasing), the horizontal pass comes before the vertical one, and each rounds to bytes with weights of 22
 * fractional bits. (Pillow 13 may begin with the other pass, which moves single bytes by a level.) The aspect ratio is
 * the caller's business.
 * @param image colour or grey; the result is of the same kind
 * @param box what of the picture is used; default all of it. Pixels outside it still weigh in at its edges, as in Pillow.
 * @throws ShapeError for a size that is no positive integer or a box that is empty or leaves the picture
 */
export function resize<T extends RgbImage | GrayImage>(
  image: T,
  width: number,
  height: number,
  filter: Filter,
  box?: Box,
): T {
  const channels = channelsOf(image);
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0))
    throw new ShapeError("resize", `${width}x${height} is not a size`);
  const used = (box ?? [0, 0, image.width, image.height]).map(Math.fround) as unknown as Box; // Pillow keeps floats
  const [left, top, right, bottom] = used;
  if (!(left >= 0 && top >= 0 && right > left && bottom > top && right <= image.width && bottom <= image.height))
    throw new ShapeError("resize", `box [${used.join(", ")}] of a picture of ${image.width}x${image.height}`);
  const columns = { inSize: image.width, from: left, to: right, outSize: width };
  const rows = { inSize: image.height, from: top, to: bottom, outSize: height };
  const data =
    filter === "nearest"
      ? nearest(image.data, channels, places(columns), places(rows), image.width)
      : filtered(image.data, channels, columns, rows, KERNELS[filter]);
  return { width, height, data } as T;
}

/** One direction of a resize: pixels `from`…`to` of `inSize` become `outSize`. */
interface Axis {
  readonly inSize: number;
  readonly from: number;
  readonly to: number;
  readonly outSize: number;
}

interface Kernel {
  /** Beyond this distance the weight is 0. */
  readonly support: number;
  readonly weight: (x: number) => number;
}

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Keys' cubic convolution (1981) with a = -0.5. */
function cubic(signed: number): number {
  const x = Math.abs(signed);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

/** Weights by distance in pixels of the coarser picture. */
const KERNELS: Readonly<Record<Exclude<Filter, "nearest">, Kernel>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: cubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** For each output pixel: the first input pixel it reads, how many, and their weights, `stride` apart. */
interface Taps<Weights = Int32Array> {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Weights;
  readonly stride: number;
}

const BITS = 22; // 32 less 8 for the byte and 2 for what weights may overshoot
const HALF = 2 ** (BITS - 1);

/** Taps with fixed-point weights. */
function taps(axis: Axis, kernel: Kernel): Taps {
  const exact = exactTaps(axis, kernel);
  return { ...exact, weights: Int32Array.from(exact.weights, fixed) };
}

function exactTaps({ inSize, from, to, outSize }: Axis, { support, weight }: Kernel): Taps<Float64Array> {
  const scale = Math.fround(to - from) / outSize;
  const stretch = Math.max(scale, 1);
  const shrink = 1 / stretch;
  const reach = support * stretch;
  const stride = Math.min(Math.ceil(reach) * 2 + 1, inSize);
  const [first, count] = [new Int32Array(outSize), new Int32Array(outSize)];
  const weights = new Float64Array(outSize * stride);
  for (let out = 0; out < outSize; out++) {
    const centre = from + (out + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach + 0.5));
    const taken = Math.min(inSize, Math.trunc(centre + reach + 0.5)) - start;
    let sum = 0;
    const own = weights.subarray(out * stride, out * stride + taken);
    for (let i = 0; i < taken; i++) sum += own[i] = weight((i + start - centre + 0.5) * shrink);
    if (sum !== 0) for (let i = 0; i < taken; i++) own[i] = own[i]! / sum;
    first[out] = start;
    count[out] = taken;
  }
  return { first, count, weights, stride };
}

/**
 * Resizes as Pillow does the channels of a picture in its mode of 32-bit floating point: as `resize`, but nothing is
 * rounded to bytes, and what overshoots is kept.
 * @returns numbers around 0…255, [height, width, 3]
 */
export function resizeFloat(
  image: RgbImage,
  width: number,
  height: number,
  filter: Exclude<Filter, "nearest">,
): Float32Array {
  const [kernel, channels] = [KERNELS[filter], 3];
  const columns = exactTaps({ inSize: image.width, from: 0, to: image.width, outSize: width }, kernel);
  const rows = exactTaps({ inSize: image.height, from: 0, to: image.height, outSize: height }, kernel);
  const lines = { count: image.height, step: image.width * channels };
  const across = weighted(image.data, columns, { ...lines, outStep: width * channels }, channels, channels);
  const rowBytes = width * channels;
  return weighted(across, rows, { count: rowBytes, step: 1, outStep: 1 }, rowBytes, 1);
}

/**
 * Weighted sums along one direction, whose neighbours lie `pitch` apart in `data` and in the result.
 * @param lines - how many lines there are, and how far apart they begin
 * @param width - values side by side that belong to one place of a line
 */
function weighted(
  data: ArrayLike<number>,
  { first, count, weights, stride }: Taps<Float64Array>,
  lines: { readonly count: number; readonly step: number; readonly outStep: number },
  pitch: number,
  width: number,
): Float32Array {
  const result = new Float32Array(first.length * lines.count * width);
  for (let line = 0; line < lines.count; line++)
    for (let out = 0; out < first.length; out++)
      for (let c = 0; c < width; c++) {
        let sum = 0;
        for (let k = 0; k < count[out]!; k++)
          sum += weights[out * stride + k]! * data[line * lines.step + (first[out]! + k) * pitch + c]!;
        result[line * lines.outStep + out * pitch + c] = sum;
      }
  return result;
}

const fixed = (weight: number) => Math.trunc(weight * 2 ** BITS + (weight < 0 ? -0.5 : 0.5));

const isWhole = ({ inSize, from, to, outSize }: Axis) => outSize === inSize && from === 0 && to === inSize;

function filtered(data: Uint8Array, channels: number, columns: Axis, rows: Axis, kernel: Kernel): Uint8Array {
  if (isWhole(rows)) {
    const all = { first: 0, end: rows.inSize };
    return isWhole(columns) ? data.slice() : horizontal(data, all, columns, channels, taps(columns, kernel));
  }
  const down = taps(rows, kernel);
  if (isWhole(columns)) return vertical(data, columns.outSize * channels, rows.outSize, down, 0);
  const last = rows.outSize - 1;
  const read = { first: down.first[0]!, end: down.first[last]! + down.count[last]! }; // the only rows that matter
  const narrow = horizontal(data, read, columns, channels, taps(columns, kernel));
  return vertical(narrow, columns.outSize * channels, rows.outSize, down, read.first);
}

function horizontal(
  data: Uint8Array,
  rows: { readonly first: number; readonly end: number },
  { inSize, outSize }: Axis,
  channels: number,
  { first, count, weights, stride }: Taps,
): Uint8Array {
  const result = new Uint8ClampedArray((rows.end - rows.first) * outSize * channels);
  let to = 0;
  for (let y = rows.first; y < rows.end; y++)
    for (let x = 0; x < outSize; x++) {
      const begin = (y * inSize + first[x]!) * channels;
      const end = x * stride + count[x]!;
      for (let c = 0; c < channels; c++) {
        let sum = HALF;
        for (let k = x * stride, at = begin + c; k < end; k++, at += channels)
          sum = (sum + Math.imul(data[at]!, weights[k]!)) | 0;
        result[to++] = sum >> BITS; // the array clips
      }
    }
  return new Uint8Array(result.buffer);
}

/** @param origin the row of the whole picture that `data` begins with */
function vertical(data: Uint8Array, rowBytes: number, height: number, down: Taps, origin: number): Uint8Array {
  const { first, count, weights, stride } = down;
  const result = new Uint8ClampedArray(height * rowBytes);
  const sums = new Int32Array(rowBytes); // whole rows at a time: memory is read in order
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    for (let k = 0; k < count[y]!; k++) {
      const weight = weights[y * stride + k]!;
      const row = (first[y]! + k - origin) * rowBytes;
      for (let x = 0; x < rowBytes; x++) sums[x] = sums[x]! + Math.imul(data[row + x]!, weight);
    }
    for (let x = 0; x < rowBytes; x++) result[y * rowBytes + x] = sums[x]! >> BITS;
  }
  return new Uint8Array(result.buffer);
}

/** Input pixel of each output pixel. The position is summed step by step, as Pillow does: its rounding shows. */
function places({ inSize, from, to, outSize }: Axis): Int32Array {
  const step = Math.fround(to - from) / outSize;
  let at = from + step * 0.5;
  const result = new Int32Array(outSize);
  for (let out = 0; out < outSize; out++, at += step) result[out] = Math.min(Math.trunc(at), inSize - 1);
  return result;
}

function nearest(
  data: Uint8Array,
  channels: number,
  columns: Int32Array,
  rows: Int32Array,
  inWidth: number,
): Uint8Array {
  const result = new Uint8Array(rows.length * columns.length * channels);
  let to = 0;
  for (const y of rows)
    for (const x of columns) {
      const at = (y * inWidth + x) * channels;
      for (let c = 0; c < channels; c++) result[to++] = data[at + c]!;
    }
  return result;
}
