import { ShapeError } from "../util/errors.ts";
import { channelsOf, type GrayImage, type RgbImage } from "./image.ts";

export type Filter = "nearest" | "bilinear" | "bicubic" | "lanczos";

/** Part of a picture in pixels, edges included on the left and top; fractions are allowed. */
export type Box = readonly [left: number, top: number, right: number, bottom: number];

/**
 * Resizes as Pillow does, byte for byte: the filter widens when a picture shrinks (antialiasing), rows come before
 * columns, and each pass rounds to bytes with weights of 22 fractional bits.
 * @param box what of the picture is used; default all of it
 * @throws ShapeError for sizes below 1 or a box that leaves the picture
 */
export function resize<T extends RgbImage | GrayImage>(image: T, width: number, height: number, filter: Filter, box?: Box): T {
  const [left, top, right, bottom] = box ?? [0, 0, image.width, image.height];
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0))
    throw new ShapeError("resize", `${width}x${height} is no size`);
  if (!(left >= 0 && top >= 0 && right > left && bottom > top && right <= image.width && bottom <= image.height))
    throw new ShapeError("resize", `box ${[left, top, right, bottom].join(", ")} of a ${image.width}x${image.height} picture`);
  const channels = channelsOf(image);
  const data =
    filter === "nearest"
      ? nearest(image, channels, width, height, [left, top, right, bottom])
      : filtered(image, channels, width, height, [left, top, right, bottom], FILTERS[filter]);
  return { width, height, data } as T;
}

interface Kernel {
  readonly support: number;
  readonly weight: (x: number) => number;
}

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Weights by distance, in pixels of the coarser picture. Bicubic is Keys' with a = -0.5. */
const FILTERS: Readonly<Record<Exclude<Filter, "nearest">, Kernel>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** For each output pixel: the first input pixel it reads, and fixed-point weights. */
interface Taps {
  readonly first: Int32Array;
  readonly weights: readonly Int32Array[];
}

const PRECISION = 2 ** 22;

function taps(inSize: number, from: number, to: number, outSize: number, { support, weight }: Kernel): Taps {
  const scale = (to - from) / outSize;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  const first = new Int32Array(outSize);
  const weights: Int32Array[] = [];
  for (let out = 0; out < outSize; out++) {
    const centre = from + (out + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(inSize, Math.trunc(centre + reach + 0.5));
    const exact = Array.from({ length: end - start }, (_, i) => weight((i + start - centre + 0.5) * (1 / stretch)));
    const sum = exact.reduce((a, b) => a + b, 0);
    first[out] = start;
    weights.push(Int32Array.from(exact, (w) => fixed(sum === 0 ? w : w / sum)));
  }
  return { first, weights };
}

const fixed = (weight: number) => Math.trunc(weight * PRECISION + (weight < 0 ? -0.5 : 0.5));

const byte = (sum: number) => Math.min(255, Math.max(0, Math.floor(sum / PRECISION)));

function filtered(image: RgbImage | GrayImage, channels: number, width: number, height: number, box: Box, kernel: Kernel): Uint8Array {
  let { data } = image;
  let columns = image.width;
  if (width !== columns || box[0] !== 0 || box[2] !== columns) {
    data = horizontal(data, image.height, columns, width, channels, taps(columns, box[0], box[2], width, kernel));
    columns = width;
  }
  if (height !== image.height || box[1] !== 0 || box[3] !== image.height)
    data = vertical(data, columns * channels, height, taps(image.height, box[1], box[3], height, kernel));
  return data === image.data ? data.slice() : data;
}

function horizontal(data: Uint8Array, rows: number, columns: number, width: number, channels: number, { first, weights }: Taps): Uint8Array {
  const result = new Uint8Array(rows * width * channels);
  for (let x = 0; x < width; x++) {
    const own = weights[x]!;
    for (let y = 0; y < rows; y++)
      for (let c = 0; c < channels; c++) {
        let sum = PRECISION / 2;
        let at = (y * columns + first[x]!) * channels + c;
        for (let i = 0; i < own.length; i++, at += channels) sum += data[at]! * own[i]!;
        result[(y * width + x) * channels + c] = byte(sum);
      }
  }
  return result;
}

function vertical(data: Uint8Array, rowBytes: number, height: number, { first, weights }: Taps): Uint8Array {
  const result = new Uint8Array(height * rowBytes);
  for (let y = 0; y < height; y++) {
    const own = weights[y]!;
    for (let x = 0; x < rowBytes; x++) {
      let sum = PRECISION / 2;
      let at = first[y]! * rowBytes + x;
      for (let i = 0; i < own.length; i++, at += rowBytes) sum += data[at]! * own[i]!;
      result[y * rowBytes + x] = byte(sum);
    }
  }
  return result;
}

function nearest(image: RgbImage | GrayImage, channels: number, width: number, height: number, [left, top, right, bottom]: Box): Uint8Array {
  const columns = places(left, right, width, image.width);
  const rows = places(top, bottom, height, image.height);
  const result = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < channels; c++)
        result[(y * width + x) * channels + c] = image.data[(rows[y]! * image.width + columns[x]!) * channels + c]!;
  return result;
}

/** Input pixel of each output pixel. The position is added up step by step, as Pillow does: its rounding is kept. */
function places(from: number, to: number, size: number, inSize: number): Int32Array {
  const step = (to - from) / size;
  let at = from + step * 0.5;
  return Int32Array.from({ length: size }, () => {
    const place = Math.min(Math.floor(at), inSize - 1);
    at += step;
    return place;
  });
}
