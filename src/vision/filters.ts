import { ShapeError } from "../util/errors.ts";
import { channelsOf, type GrayImage, type RgbImage } from "./image.ts";

// OpenCV's and SciPy's filters, which the pose network was published with; Pillow's are in resize.ts.

/** One channel of numbers, row by row from the top. */
export interface Plane {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array | Float64Array;
}

/** Part of a plane: columns left…right-1 of rows top…bottom-1. */
export interface Window {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

const whole = ({ width, height }: Size): Window => ({
  left: 0,
  top: 0,
  right: width,
  bottom: height,
});

/**
 * Shrinks a picture as OpenCV's INTER_AREA: each pixel is the mean of the rectangle it covers, rounded to the nearest
 * byte, halves to even (but up where both sides become exactly half as long).
 * @param image colour or grey; the result is of the same kind
 * @throws ShapeError for a size that is no positive integer or larger than the picture's
 */
export function resizeArea<T extends RgbImage | GrayImage>(image: T, width: number, height: number): T {
  const channels = channelsOf(image);
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0))
    throw new ShapeError("resizeArea", `${width}x${height} is not a size`);
  if (width > image.width || height > image.height)
    throw new ShapeError("resizeArea", `${image.width}x${image.height} to ${width}x${height} does not shrink`);
  const [columns, rows] = [cells(image.width, width), cells(image.height, height)];
  const result = new Uint8ClampedArray(width * height * channels); // rounds halves to even
  const sums = new Float32Array(width * channels);
  const halved = image.width === 2 * width && image.height === 2 * height;
  for (const [y, cell] of rows.entries()) {
    sums.fill(0);
    for (const [k, share] of cell.shares.entries()) {
      const row = image.data.subarray((cell.first + k) * image.width * channels);
      addRow(sums, row, columns, channels, share);
    }
    if (halved) for (let i = 0; i < sums.length; i++) sums[i] = Math.floor(sums[i]! + 0.5);
    result.set(sums, y * sums.length);
  }
  return { width, height, data: new Uint8Array(result.buffer) } as T;
}

/** Adds `share` times the row's column means. Sums are float32, as OpenCV keeps them. */
function addRow(sums: Float32Array, row: Uint8Array, columns: readonly Cell[], channels: number, share: number): void {
  let to = 0;
  for (const { first, shares } of columns)
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let k = 0; k < shares.length; k++)
        sum = Math.fround(sum + Math.fround(row[(first + k) * channels + c]! * shares[k]!));
      sums[to] = sums[to]! + Math.fround(share * sum);
      to++;
    }
}

/** The input pixels that an output pixel covers, and each one's share of it. */
interface Cell {
  readonly first: number;
  readonly shares: Float32Array;
}

function cells(inSize: number, outSize: number): Cell[] {
  const scale = 1 / (outSize / inSize);
  return Array.from({ length: outSize }, (_, out) => {
    const [from, to] = [out * scale, out * scale + scale];
    const size = Math.min(scale, inSize - from);
    const end = Math.min(Math.floor(to), inSize - 1);
    const begin = Math.min(Math.ceil(from), end);
    const shares: number[] = [];
    const sliver = 1e-3; // narrower parts of pixels are left out
    const head = begin - from > sliver;
    if (head) shares.push((begin - from) / size);
    for (let i = begin; i < end; i++) shares.push(1 / size);
    if (to - end > sliver) shares.push(Math.min(to - end, 1, size) / size);
    return { first: head ? begin - 1 : begin, shares: Float32Array.from(shares) };
  });
}

const TAPS = 8;

/** For each output position 8 weights, and the input position of the first (which may lie outside: edges repeat). */
export interface Taps {
  readonly first: Int32Array;
  readonly weights: Float32Array;
}

/** The Lanczos window of four lobes, sinc(d)·sinc(d/4), its weights made to sum to 1. */
function lanczosTaps(inSize: number, outSize: number): Taps {
  const scale = 1 / (outSize / inSize);
  const first = new Int32Array(outSize);
  const weights = new Float32Array(outSize * TAPS);
  const raw = new Float64Array(TAPS);
  for (let out = 0; out < outSize; out++) {
    const at = Math.fround((out + 0.5) * scale - 0.5);
    const base = Math.floor(at);
    first[out] = base - 3;
    let sum = 0;
    for (let k = 0; k < TAPS; k++) sum += raw[k] = lanczos(Math.fround(at - base) + 3 - k);
    for (let k = 0; k < TAPS; k++) weights[out * TAPS + k] = raw[k]! / sum;
  }
  return { first, weights };
}

function lanczos(d: number): number {
  if (Math.abs(d) < 1e-6) return 1;
  const angle = Math.PI * d;
  return (4 * Math.sin(angle) * Math.sin(angle / 4)) / (angle * angle);
}

const clampTo = (size: number, i: number) => (i < 0 ? 0 : i < size ? i : size - 1);

/** How Lanczos-4 enlarges planes of one size to another. */
export interface Lattice {
  readonly from: Size;
  readonly to: Size;
  readonly columns: Taps;
  readonly rows: Taps;
}

/** @throws ShapeError for a size that is no positive integer */
export function lanczosLattice(from: Size, to: Size): Lattice {
  for (const { width, height } of [from, to])
    if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0))
      throw new ShapeError("resizeLanczos4", `${width}x${height} is not a size`);
  return { from, to, columns: lanczosTaps(from.width, to.width), rows: lanczosTaps(from.height, to.height) };
}

/** A plane that is enlarged as OpenCV's INTER_LANCZOS4 does it with float32 numbers, wherever it is asked for. */
export class Enlarged {
  readonly #source: Plane;
  readonly #columns: Taps;
  readonly #rows: Taps;
  readonly width: number;
  readonly height: number;

  /** @throws ShapeError for a plane of another size than the lattice's, or data that do not fill it */
  constructor(source: Plane, { from, to, columns, rows }: Lattice) {
    const { width, height, data } = source;
    if (width !== from.width || height !== from.height || data.length !== width * height)
      throw new ShapeError(
        "resizeLanczos4",
        `${data.length} numbers of ${width}x${height} for ${from.width}x${from.height}`,
      );
    this.#source = source;
    this.#columns = columns;
    this.#rows = rows;
    this.width = to.width;
    this.height = to.height;
  }

  /** One number: the same as `render` computes. */
  at(x: number, y: number): number {
    let sum = 0;
    for (let k = 0; k < TAPS; k++) {
      const row = clampTo(this.#source.height, this.#rows.first[y]! + k);
      sum += this.#rows.weights[y * TAPS + k]! * this.#across(x, row);
    }
    return Math.fround(sum);
  }

  #across(x: number, row: number): number {
    const { width, data } = this.#source;
    const first = this.#columns.first[x]!;
    let sum = 0;
    for (let k = 0; k < TAPS; k++)
      sum += this.#columns.weights[x * TAPS + k]! * data[row * width + clampTo(width, first + k)]!;
    return Math.fround(sum);
  }

  /** All of it, or a window of it written into `data`. */
  render(
    { left, top, right, bottom }: Window = whole(this),
    data: Float32Array = new Float32Array(this.width * this.height),
  ): Plane {
    const { width, height } = this;
    const wide = this.#widen(left, top, right, bottom);
    for (let y = top; y < bottom; y++) {
      const from = (k: number) => clampTo(this.#source.height, this.#rows.first[y]! + k) * width;
      const weight = (k: number) => this.#rows.weights[y * TAPS + k]!;
      // by hand, because this loop takes most of the time that a pose takes after the network
      const [r0, r1, r2, r3, r4, r5, r6, r7] = [from(0), from(1), from(2), from(3), from(4), from(5), from(6), from(7)];
      const [w0, w1, w2, w3] = [weight(0), weight(1), weight(2), weight(3)];
      const [w4, w5, w6, w7] = [weight(4), weight(5), weight(6), weight(7)];
      for (let x = left; x < right; x++) {
        const upper = w0 * wide[r0 + x]! + w1 * wide[r1 + x]! + w2 * wide[r2 + x]! + w3 * wide[r3 + x]!;
        data[y * width + x] = upper + w4 * wide[r4 + x]! + w5 * wide[r5 + x]! + w6 * wide[r6 + x]! + w7 * wide[r7 + x]!;
      }
    }
    return { width, height, data };
  }

  /** The source's rows that the window reads, each as wide as the result. */
  #widen(left: number, top: number, right: number, bottom: number): Float32Array {
    const { width, height: rows, data } = this.#source;
    const wide = new Float32Array(rows * this.width);
    if (bottom <= top) return wide;
    const { first, weights } = this.#columns;
    const from = clampTo(rows, this.#rows.first[top]!);
    const to = clampTo(rows, this.#rows.first[bottom - 1]! + TAPS - 1);
    const line = new Float64Array(width + 2 * TAPS); // a row with its ends repeated
    for (let row = from; row <= to; row++) {
      for (let x = 0; x < line.length; x++) line[x] = data[row * width + clampTo(width, x - TAPS)]!;
      for (let x = left; x < right; x++) {
        const [at, w] = [first[x]! + TAPS, x * TAPS];
        let sum = weights[w]! * line[at]!;
        for (let k = 1; k < TAPS; k++) sum += weights[w + k]! * line[at + k]!;
        wide[row * this.width + x] = sum;
      }
    }
    return wide;
  }
}

/** Enlarges (or shrinks, without antialiasing) as OpenCV's INTER_LANCZOS4 does in float32. @throws ShapeError */
export const resizeLanczos4 = (plane: Plane, width: number, height: number): Plane =>
  new Enlarged(plane, lanczosLattice(plane, { width, height })).render();

/** How far the filter reaches: SciPy cuts it off at four sigmas. */
export const gaussianRadius = (sigma: number): number => Math.trunc(4 * sigma + 0.5);

/**
 * Smooths as SciPy's gaussian_filter does by default: columns first, then rows, in float64, the picture mirrored at
 * its edges with the edge pixel repeated.
 * @param window what of the result is computed. Input is read up to `gaussianRadius` around it.
 * @param result what the window is written into; zeros unless given
 * @throws ShapeError for data that do not fill the plane
 */
export function gaussianFilter(
  plane: Plane,
  sigma: number,
  window: Window = whole(plane),
  result: Float64Array = new Float64Array(plane.data.length),
): Plane {
  const { width, height, data } = plane;
  if (data.length !== width * height)
    throw new ShapeError("gaussianFilter", `${data.length} numbers for ${width}x${height}`);
  const radius = gaussianRadius(sigma);
  const weights = gaussianWeights(sigma, radius);
  const [from, to] = [Math.max(0, window.left - radius), Math.min(width, window.right + radius)];
  const line = new Float64Array(width + 2 * radius); // with its mirrored ends
  const inner = line.subarray(radius, radius + width);
  for (let y = window.top; y < window.bottom; y++) {
    for (let x = from; x < to; x++) inner[x] = data[y * width + x]! * weights[0]!;
    for (let d = radius; d > 0; d--) {
      const weight = weights[d]!;
      const [above, below] = [mirror(y - d, height) * width, mirror(y + d, height) * width];
      for (let x = from; x < to; x++) inner[x] = inner[x]! + (data[above + x]! + data[below + x]!) * weight;
    }
    for (let d = 1; d <= radius; d++) {
      line[radius - d] = inner[mirror(-d, width)]!;
      line[radius + width - 1 + d] = inner[mirror(width - 1 + d, width)]!;
    }
    for (let x = window.left; x < window.right; x++) {
      const at = x + radius;
      let sum = line[at]! * weights[0]!;
      for (let d = radius; d > 0; d--) sum += (line[at - d]! + line[at + d]!) * weights[d]!;
      result[y * width + x] = sum;
    }
  }
  return { width, height, data: result };
}

/** Weights by distance from the centre; over both sides they sum to 1. */
function gaussianWeights(sigma: number, radius: number): Float64Array {
  const weights = Float64Array.from({ length: radius + 1 }, (_, d) => Math.exp((-0.5 / sigma ** 2) * d * d));
  const total = weights.reduce((sum, weight, d) => sum + (d ? 2 : 1) * weight, 0);
  return weights.map((weight) => weight / total);
}

/** The place inside that a place outside mirrors: … 1 0 | 0 1 … n-1 | n-1 n-2 … */
function mirror(i: number, size: number): number {
  const at = ((i % (2 * size)) + 2 * size) % (2 * size);
  return at < size ? at : 2 * size - 1 - at;
}
