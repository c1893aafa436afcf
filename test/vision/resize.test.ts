import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readImage } from "../../src/node/images.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { resize, type Box, type Filter } from "../../src/vision/resize.ts";
import { fixture } from "../helpers.ts";

const FILTERS: readonly Filter[] = ["nearest", "bilinear", "bicubic", "lanczos"];

/** Bytes that jump about and are the same everywhere. */
function picture(width: number, height: number, channels: number, seed: number): RgbImage {
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) => Math.imul(i + seed, 2654435761) >>> 24);
  return { width, height, data };
}

function fnv1a(bytes: Uint8Array): number {
  let hash = 2166136261;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 16777619);
  return hash >>> 0;
}

function crop({ width, data }: RgbImage, left: number, top: number, right: number, bottom: number): Uint8Array {
  const rows = Array.from({ length: bottom - top }, (_, y) => ((top + y) * width + left) * 3);
  return Uint8Array.from(rows.flatMap((at) => [...data.subarray(at, at + (right - left) * 3)]));
}

describe("against Pillow", () => {
  for (const name of ["astronaut", "coffee"])
    test.each([
      ["bicubic", 384, 512],
      ["bicubic", 96, 128],
      ["bilinear", 200, 150],
      ["lanczos", 111, 97],
      ["nearest", 300, 200],
    ] as const)(`${name}, %s to %dx%d, every byte`, async (filter, width, height) => {
      const expected = await readImage(fixture(`images/${name}.${filter}.${width}x${height}.png`));
      const actual = resize(await readImage(fixture(`images/${name}.png`)), width, height, filter);
      expect(Buffer.compare(actual.data, expected.data)).toBe(0);
    });

  test.each(["astronaut", "coffee"])("%s, bicubic to 768x1024, every byte of a part", async (name) => {
    const expected = await readImage(fixture(`images/${name}.bicubic.768x1024.crop300.png`));
    const actual = resize(await readImage(fixture(`images/${name}.png`)), 768, 1024, "bicubic");
    expect(Buffer.compare(crop(actual, 300, 300, 428, 428), expected.data)).toBe(0);
  });

  // resize.json: Pillow 9.5.0's Image.resize of picture(…, index of the case), hashed
  interface Case {
    readonly from: [number, number];
    readonly to: [number, number];
    readonly channels: number;
    readonly filter: Filter;
    readonly box?: Box;
    readonly fnv1a: number;
  }
  const cases = JSON.parse(readFileSync(fixture("resize.json"), "utf8")) as Case[];

  test.each(FILTERS)("%s: sizes from 1 pixel, boxes with fractions, one and three channels", (filter) => {
    const wrong = cases.filter((each, i) => {
      if (each.filter !== filter) return false;
      const image = picture(...each.from, each.channels, i);
      return fnv1a(resize(image, ...each.to, filter, each.box).data) !== each.fnv1a;
    });
    expect(wrong).toEqual([]);
  });
});

describe("whatever the picture", () => {
  const side = fc.integer({ min: 1, max: 40 });
  const channels = fc.constantFrom(1, 3);
  const filter = fc.constantFrom(...FILTERS);

  test("the same size gives the same bytes, in memory of their own", () => {
    fc.assert(
      fc.property(side, side, channels, filter, fc.nat(1000), (width, height, c, name, seed) => {
        const image = picture(width, height, c, seed);
        const same = resize(image, width, height, name);
        expect(same).toEqual(image);
        expect(same.data.buffer).not.toBe(image.data.buffer);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  test("a constant picture stays constant", () => {
    fc.assert(
      fc.property(side, side, side, side, channels, filter, fc.nat(255), (width, height, w, h, c, name, level) => {
        const data = new Uint8Array(width * height * c).fill(level);
        const result = resize({ width, height, data }, w, h, name);
        expect([result.width, result.height, result.data.length]).toEqual([w, h, w * h * c]);
        expect(result.data.every((byte) => byte === level)).toBe(true);
      }),
      { numRuns: 200, seed: 2 },
    );
  });

  test.each(FILTERS)("%s: 1x1 to 300x200, and 2000x1 to 1x500", (name) => {
    const point = resize({ width: 1, height: 1, data: Uint8Array.of(7, 200, 255) }, 300, 200, name);
    expect(point.data.every((byte, i) => byte === [7, 200, 255][i % 3])).toBe(true);
    const column = resize(picture(2000, 1, 3, 5), 1, 500, name);
    expect(column.data).toEqual(Uint8Array.from(column.data, (_, i) => column.data[i % 3]!));
  });

  test("a box that lies on pixels equals a crop for nearest at the same scale", () => {
    const image = picture(20, 10, 3, 9);
    expect(resize(image, 5, 4, "nearest", [3, 2, 8, 6]).data).toEqual(crop(image, 3, 2, 8, 6));
  });
});

test("sizes, boxes and bytes that do not fit are refused with the numbers", () => {
  const image = picture(4, 3, 3, 0);
  expect(() => resize(image, 0, 5, "bicubic")).toThrow("resize: 0x5 is not a size");
  expect(() => resize(image, 2.5, 5, "bicubic")).toThrow("resize: 2.5x5 is not a size");
  expect(() => resize(image, 2, 2, "nearest", [0, 0, 5, 3])).toThrow("resize: box [0, 0, 5, 3] of a picture of 4x3");
  expect(() => resize(image, 2, 2, "nearest", [1, 0, 1, 3])).toThrow("resize: box");
  expect(() => resize(image, 2, 2, "nearest", [NaN, 0, 1, 3])).toThrow("resize: box");
  expect(() => resize({ ...image, width: 5 }, 2, 2, "nearest")).toThrow("image: 36 bytes for 5x3 pixels");
});
