import { InputError, NonFiniteError, ShapeError } from "../util/errors.ts";

/** Eight-bit colour, three bytes a pixel, row by row from the top. */
export interface RgbImage {
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  /** 3 · width · height bytes: red, green, blue. */
  readonly data: Uint8Array;
}

/** Eight-bit grey, one byte a pixel, row by row from the top. */
export interface GrayImage {
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  /** width · height bytes. */
  readonly data: Uint8Array;
}

/** 3 for an RgbImage, 1 for a GrayImage. @throws ShapeError when the bytes fit neither */
export function channelsOf(image: RgbImage | GrayImage): 1 | 3 {
  const { width, height, data } = image ?? {}; // who writes JavaScript may give a picture that there is not
  if (!data) throw new InputError("image", `${String(image)} is no picture`);
  const channels = data.length / (width * height);
  if (channels !== 1 && channels !== 3)
    throw new ShapeError("image", `${data.length} bytes for ${width}x${height} pixels`);
  return channels;
}

// The published preprocessing divides by 255 and maps to -1…1 in float32: both roundings are kept.
const SIGNED = Float32Array.from({ length: 256 }, (_, byte) => 2 * Math.fround(byte / 255) - 1);

/** Bytes as numbers in -1…1, [h, w, 3]. */
export const toFloat = (image: RgbImage): Float32Array => Float32Array.from(image.data, (byte) => SIGNED[byte]!);

/**
 * Numbers in 0…1, [h, w, 3], as bytes: `(x * 255).round()` of numpy, which sends halves to the even integer. What lies
 * outside is clipped.
 * @throws ShapeError when there are not width · height · 3 numbers
 * @throws NonFiniteError for a NaN, which no byte can show
 */
export function fromFloat(values: Float32Array, width: number, height: number): RgbImage {
  if (values.length !== width * height * 3)
    throw new ShapeError("fromFloat", `${values.length} numbers for ${width}x${height} pixels`);
  const data = new Uint8ClampedArray(values.length); // clips and rounds halves to even
  for (let i = 0; i < values.length; i++) {
    const level = Math.fround(values[i]! * 255);
    if (Number.isNaN(level)) throw new NonFiniteError("fromFloat", `number ${i} of ${values.length} is NaN`);
    data[i] = level;
  }
  return { width, height, data: new Uint8Array(data.buffer) };
}

/** 255 where a mask is at least 127, else 0: the published pipeline's threshold. */
export function binarise({ width, height, data }: GrayImage): GrayImage {
  return { width, height, data: data.map((value) => (value < 127 ? 0 : 255)) };
}

/**
 * The picture with one level of grey where the mask is white, and a blend of both where it is grey: Pillow's
 * `Image.composite` with its integer rounding.
 * @throws ShapeError when the sizes differ
 */
export function compositeGray(image: RgbImage, mask: GrayImage, level: number): RgbImage {
  const { width, height } = image;
  if (mask.width !== width || mask.height !== height)
    throw new ShapeError("compositeGray", `mask is ${mask.width}x${mask.height}, image is ${width}x${height}`);
  const data = new Uint8Array(image.data.length);
  for (let i = 0, at = 0; i < mask.data.length; i++) {
    const share = mask.data[i]!;
    for (const end = at + 3; at < end; at++) data[at] = over255(level * share + image.data[at]! * (255 - share));
  }
  return { width, height, data };
}

/** n / 255 to the nearest integer, for n up to 255². */
const over255 = (n: number) => (((n + 128) >> 8) + n + 128) >> 8;

/** Luma of ITU-R BT.601 as Pillow's `convert("L")` computes it; grey pixels keep their level. */
export function toGray({ width, height, data: rgb }: RgbImage): GrayImage {
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++)
    data[i] = (rgb[3 * i]! * 19595 + rgb[3 * i + 1]! * 38470 + rgb[3 * i + 2]! * 7471 + 0x8000) >> 16;
  return { width, height, data };
}

/** Four bytes a pixel, opaque: as a canvas takes pictures. */
export function toRgba(image: RgbImage | GrayImage): Uint8ClampedArray<ArrayBuffer> {
  const channels = channelsOf(image);
  const [green, blue] = channels === 1 ? [0, 0] : [1, 2];
  const rgba = new Uint8ClampedArray(image.width * image.height * 4);
  for (let from = 0, to = 0; to < rgba.length; from += channels, to += 4) {
    rgba[to] = image.data[from]!;
    rgba[to + 1] = image.data[from + green]!;
    rgba[to + 2] = image.data[from + blue]!;
    rgba[to + 3] = 255;
  }
  return rgba;
}
