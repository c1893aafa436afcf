import fc from "fast-check";
import type { GrayImage, RgbImage } from "../../src/vision/image.ts";
import type { Box } from "../../src/vision/resize.ts";

/** Bytes that jump about and are the same everywhere. */
export const noise = (width: number, height: number, channels = 3, seed = 0): RgbImage => ({
  width,
  height,
  data: Uint8Array.from(
    { length: width * height * channels },
    (_, i) => Math.imul(i + 1 + seed * 977, 2654435761) >>> 24,
  ),
});

/** Colours that change slowly: resampling hardly changes them. */
export const smooth = (width: number, height: number): RgbImage => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [pixel, channel] = [Math.floor(i / 3), i % 3];
    const [x, y] = [(pixel % width) / width, Math.floor(pixel / width) / height];
    return [40 + 160 * x, 200 - 150 * y, 60 + 80 * x + 80 * y][channel]!;
  }),
});

export const plain = (width: number, height: number, colour: readonly number[]): RgbImage => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => colour[i % 3]!),
});

export function painted(image: RgbImage, [left, top, right, bottom]: Box, colour: readonly number[]): RgbImage {
  const data = image.data.slice();
  for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) data.set(colour, (y * image.width + x) * 3);
  return { ...image, data };
}

/** White in a box, black elsewhere. */
export function boxMask(width: number, height: number, [left, top, right, bottom]: Box): GrayImage {
  const data = new Uint8Array(width * height);
  for (let y = top; y < bottom; y++) data.fill(255, y * width + left, y * width + right);
  return { width, height, data };
}

export const pixel = ({ width, data }: RgbImage, x: number, y: number): number[] => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

export const side = fc.oneof(
  { weight: 1, arbitrary: fc.constant(1) },
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 60 }) },
);
export const mode = fc.constantFrom("pad", "crop", "stretch");
/** A box with something in it, as shares of a picture. */
export const shares = fc
  .tuple(...[0, 1, 2, 3].map(() => fc.double({ min: 0, max: 1, noNaN: true })))
  .map(([a, b, c, d]) => [Math.min(a!, c!), Math.min(b!, d!), Math.max(a!, c!), Math.max(b!, d!)] as const);

/** Shares as whole pixels, at least one each way. */
export function boxOf(
  [left, top, right, bottom]: readonly [number, number, number, number],
  width: number,
  height: number,
) {
  const [x, y] = [Math.floor(left * (width - 1)), Math.floor(top * (height - 1))];
  return [x, y, Math.max(x + 1, Math.round(right * width)), Math.max(y + 1, Math.round(bottom * height))] as const;
}
