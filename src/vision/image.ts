import { ShapeError } from "../util/errors.ts";

/** Eight-bit colour, three bytes a pixel, row by row from the top. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Eight-bit grey, one byte a pixel. */
export interface GrayImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** 3 for an RgbImage, 1 for a GrayImage. @throws ShapeError when the bytes fit neither */
export function channelsOf({ width, height, data }: RgbImage | GrayImage): 1 | 3 {
  const channels = data.length / (width * height);
  if (channels !== 1 && channels !== 3) throw new ShapeError("image", `${data.length} bytes for ${width}x${height} pixels`);
  return channels;
}

/** Bytes as numbers in -1…1, [h, w, 3]. */
export const toFloat = (image: RgbImage): Float32Array => Float32Array.from(image.data, (byte) => byte / 127.5 - 1);

/** Numbers in 0…1, [h, w, 3], as bytes; halves go to the even byte, as numpy rounds. */
export function fromFloat(values: Float32Array, width: number, height: number): RgbImage {
  if (values.length !== width * height * 3) throw new ShapeError("fromFloat", `${values.length} numbers for ${width}x${height} pixels`);
  return { width, height, data: Uint8Array.from(values, (value) => roundHalfEven(Math.min(Math.max(value, 0), 1) * 255)) };
}

/** To the nearest integer, halves to the even one. */
export function roundHalfEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}

/** 255 where a mask is at least 127, else 0. */
export const binarise = ({ width, height, data }: GrayImage): GrayImage => ({
  width,
  height,
  data: data.map((value) => (value < 127 ? 0 : 255)),
});

/** The picture with a level of grey wherever the mask is white. @throws ShapeError when sizes differ */
export function compositeGray(image: RgbImage, mask: GrayImage, level: number): RgbImage {
  const { width, height } = image;
  if (mask.width !== width || mask.height !== height)
    throw new ShapeError("compositeGray", `mask is ${mask.width}x${mask.height}, image is ${width}x${height}`);
  const data = image.data.map((byte, i) => (mask.data[Math.floor(i / 3)]! > 127 ? level : byte));
  return { width, height, data };
}
