import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fit, placementOf, unfitMask } from "../../src/vision/fit.ts";
import { binarise, type GrayImage, type RgbImage } from "../../src/vision/image.ts";
import { pasteBack, whiteBox } from "../../src/vision/paste.ts";
import { resize } from "../../src/vision/resize.ts";
import { boxMask, boxOf, mode, noise, pixel, plain, shares, side, smooth } from "./pictures.ts";

const sizes = fc.record({ width: side, height: side });
const feather = fc.nat(12);

/** For each pixel whether a white one is within `reach` of it, both ways. */
function near({ width, height, data }: GrayImage, reach: number, level = 255): boolean[] {
  return Array.from(data, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    for (let v = Math.max(0, y - reach); v <= Math.min(height - 1, y + reach); v++)
      for (let u = Math.max(0, x - reach); u <= Math.min(width - 1, x + reach); u++)
        if (data[v * width + u] === level) return true;
    return false;
  });
}

const largest = (a: RgbImage, b: RgbImage, counts: (pixel: number) => boolean = () => true) =>
  a.data.reduce(
    (worst, value, i) => (counts(Math.floor(i / 3)) ? Math.max(worst, Math.abs(value - b.data[i]!)) : worst),
    0,
  );

describe("pasteBack", () => {
  test("an all-black mask gives the original, bit for bit, in memory of its own", () => {
    fc.assert(
      fc.property(sizes, sizes, mode, feather, (from, to, name, radius) => {
        const original = noise(from.width, from.height);
        const place = placementOf(from, { ...to, mode: name });
        const black = { ...to, data: new Uint8Array(to.width * to.height).fill(126) }; // below the threshold
        const back = pasteBack(original, noise(to.width, to.height), black, place, { feather: radius });
        expect(back).toEqual(original);
        expect(back.data.buffer).not.toBe(original.data.buffer);
      }),
    );
  });

  test("further than the feather from the mask every byte is the original's", () => {
    fc.assert(
      fc.property(sizes, sizes, mode, shares, feather, (from, to, name, share, radius) => {
        const original = noise(from.width, from.height);
        const place = placementOf(from, { ...to, mode: name });
        const mask = boxMask(to.width, to.height, boxOf(share, to.width, to.height));
        const back = pasteBack(original, plain(to.width, to.height, [255, 0, 255]), mask, place, { feather: radius });
        const touched = near(unfitMask(mask, place), radius);
        expect(largest(back, original, (i) => !touched[i])).toBe(0);
      }),
    );
  });

  test("further than the feather inside the mask every byte is the result's", () => {
    fc.assert(
      fc.property(sizes, fc.constantFrom("pad", "stretch"), shares, feather, (size, name, share, radius) => {
        const place = placementOf(size, { ...size, mode: name });
        const [original, result] = [noise(size.width, size.height, 3, 1), noise(size.width, size.height, 3, 2)];
        const mask = boxMask(size.width, size.height, boxOf(share, size.width, size.height));
        const back = pasteBack(original, result, mask, place, { feather: radius });
        const edge = near(mask, radius, 0);
        expect(largest(back, result, (i) => !edge[i])).toBe(0);
      }),
    );
  });

  test("an all-white mask gives the result, up to the picture's border", () => {
    for (const radius of [0, 1, 2, 3, 20]) {
      const place = placementOf({ width: 30, height: 40 }, { width: 30, height: 40 });
      const white = boxMask(30, 40, [0, 0, 30, 40]);
      expect(pasteBack(noise(30, 40), smooth(30, 40), white, place, { feather: radius })).toEqual(smooth(30, 40));
    }
  });

  test("an unchanged result changes nothing when nothing was resampled", () => {
    fc.assert(
      fc.property(sizes, mode, shares, feather, (size, name, share, radius) => {
        const original = noise(size.width, size.height);
        const { image, place } = fit(original, { ...size, mode: name });
        const mask = boxMask(size.width, size.height, boxOf(share, size.width, size.height));
        expect(pasteBack(original, image, mask, place, { feather: radius })).toEqual(original);
      }),
    );
    // the same scale with a border, and with something cut off
    for (const [width, height, name] of [
      [300, 100, "pad"],
      [41, 90, "pad"],
      [180, 120, "crop"],
      [90, 300, "crop"],
    ] as const) {
      const original = noise(width, height);
      const scale = name === "pad" ? Math.max(width / 3, height / 4) : Math.min(width / 3, height / 4);
      const to = { width: Math.round(3 * scale), height: Math.round(4 * scale) };
      const { image, place } = fit(original, { ...to, mode: name });
      const mask = boxMask(to.width, to.height, [0, 0, to.width, to.height]);
      expect(largest(pasteBack(original, image, mask, place), original)).toBe(0);
    }
  });

  test.each(["pad", "crop", "stretch"] as const)(
    "%s there and back: resampling error, and only near the mask",
    (name) => {
      for (const [width, height] of [
        [97, 61],
        [61, 97],
        [201, 33],
        [33, 201],
      ] as const) {
        const original = smooth(width, height);
        const { image, place } = fit(original, { width: 96, height: 128, mode: name });
        const mask = boxMask(96, 128, [20, 30, 80, 90]);
        const back = pasteBack(original, image, mask, place, { feather: 3 });
        const touched = near(unfitMask(mask, place), 3);
        expect(touched.some(Boolean)).toBe(true);
        expect(largest(back, original, (i) => !touched[i])).toBe(0);
        expect(largest(back, original)).toBeLessThanOrEqual(name === "stretch" ? 12 : 4);
      }
    },
  );

  test("the edge is soft: the weight falls from all to none, half at the mask's own edge", () => {
    const place = placementOf({ width: 60, height: 80 }, { width: 60, height: 80 });
    const [black, white] = [plain(60, 80, [0, 0, 0]), plain(60, 80, [255, 255, 255])];
    const back = pasteBack(black, white, boxMask(60, 80, [30, 0, 60, 80]), place, { feather: 9 });
    const row = Array.from({ length: 60 }, (_, x) => pixel(back, x, 40)[0]!);
    expect(row.slice(0, 21)).toEqual(Array(21).fill(0));
    expect(row.slice(39)).toEqual(Array(21).fill(255));
    for (let x = 21; x < 39; x++) {
      expect(row[x]).toBeGreaterThanOrEqual(row[x - 1]!);
      expect(row[x]! + row[59 - x]!).toBe(255); // symmetric
    }
    // near the normal distribution whose variance is that of three boxes of 7: 3 (7² - 1) / 12 = 12
    const phi = (z: number) => 1 / (1 + Math.exp(-1.702 * z)); // within 0.01
    for (let x = 0; x < 60; x++)
      expect(Math.abs(row[x]! / 255 - phi((x + 0.5 - 30) / Math.sqrt(12)))).toBeLessThan(0.025);
    const hard = pasteBack(black, white, boxMask(60, 80, [30, 0, 60, 80]), place, { feather: 0 });
    expect(Array.from({ length: 60 }, (_, x) => pixel(hard, x, 40)[0]!)).toEqual([
      ...Array(30).fill(0),
      ...Array(30).fill(255),
    ]);
  });

  test.each([0, 1, 2, 3, 4, 5, 6])("a feather of %d reaches as far, to either side", (radius) => {
    const place = placementOf({ width: 30, height: 40 }, { width: 30, height: 40 });
    const [black, white] = [plain(30, 40, [0, 0, 0]), plain(30, 40, [255, 255, 255])];
    const back = pasteBack(black, white, boxMask(30, 40, [15, 0, 30, 40]), place, { feather: radius });
    const row = Array.from({ length: 30 }, (_, x) => pixel(back, x, 20)[0]!);
    expect(row.findIndex((value) => value > 0)).toBe(15 - radius);
    expect(row.findLastIndex((value) => value < 255)).toBe(14 + radius);
  });

  test("where cropping cut the result off, it fades out; at the picture's own border it does not", () => {
    const { place } = fit(plain(400, 200, [0, 0, 0]), { width: 150, height: 200, mode: "crop" });
    expect(place.source).toEqual([125, 0, 275, 200]);
    const back = pasteBack(
      plain(400, 200, [0, 0, 0]),
      plain(150, 200, [240, 240, 240]),
      boxMask(150, 200, [0, 0, 150, 200]),
      place,
      {
        feather: 9,
      },
    );
    const row = (y: number) => Array.from({ length: 400 }, (_, x) => pixel(back, x, y)[0]!);
    expect(row(0)).toEqual(row(100));
    expect(row(0).slice(124, 135)).toEqual([0, 24, 48, 72, 96, 120, 144, 168, 192, 216, 240]);
    expect(row(0).slice(265, 276)).toEqual([240, 216, 192, 168, 144, 120, 96, 72, 48, 24, 0]);
  });

  test("only the part of the result that lies in the picture comes back, at its place", () => {
    const original = plain(200, 100, [10, 20, 30]);
    const { place } = fit(original, { width: 60, height: 80 });
    expect(place.target).toEqual([0, 25, 60, 55]);
    const result = { ...plain(60, 80, [200, 0, 0]) };
    const back = pasteBack(original, result, boxMask(60, 80, [30, 0, 60, 80]), place, { feather: 0 });
    for (const [x, y] of [
      [0, 0],
      [99, 99],
    ] as const)
      expect(pixel(back, x, y)).toEqual([10, 20, 30]);
    for (const [x, y] of [
      [100, 0],
      [199, 0],
      [150, 50],
      [199, 99],
    ] as const)
      expect(pixel(back, x, y)).toEqual([200, 0, 0]);
  });

  test("the default feather is a hundredth of the used height", () => {
    const original = noise(300, 400);
    const { place } = fit(original, { width: 30, height: 40 });
    const mask = boxMask(30, 40, [10, 10, 20, 20]);
    const result = plain(30, 40, [0, 255, 0]);
    const back = pasteBack(original, result, mask, place);
    expect(back).toEqual(pasteBack(original, result, mask, place, { feather: 4 }));
    expect(back).not.toEqual(pasteBack(original, result, mask, place, { feather: 5 }));
  });

  test("inside, a resized result is the whole result resized, to a level of rounding", () => {
    const original = noise(331, 217);
    const { place } = fit(original, { width: 96, height: 128, mode: "crop" });
    const result = noise(96, 128, 3, 5);
    const mask = boxMask(96, 128, [31, 40, 70, 77]);
    const back = pasteBack(original, result, mask, place, { feather: 0 });
    const [left, top, right, bottom] = place.source;
    const whole = resize(result, right - left, bottom - top, "bicubic");
    const [x0, y0, x1, y1] = whiteBox(unfitMask(mask, place))!;
    for (let y = y0; y < y1; y++)
      for (let x = x0; x < x1; x++)
        for (const [c, value] of pixel(back, x, y).entries())
          expect(Math.abs(value - pixel(whole, x - left, y - top)[c]!)).toBeLessThanOrEqual(1);
  });

  test("pictures of other sizes and odd feathers are refused", () => {
    const original = noise(31, 7);
    const { image, place } = fit(original, { width: 24, height: 32 });
    const mask = boxMask(24, 32, [0, 0, 1, 1]);
    expect(() => pasteBack(noise(7, 31), image, mask, place)).toThrow(
      "pasteBack: the picture is 7x31, the placement's is 31x7",
    );
    expect(() => pasteBack(original, original, mask, place)).toThrow(
      "pasteBack: the picture is 31x7, the placement's is 24x32",
    );
    expect(() => pasteBack(original, image, boxMask(31, 7, [0, 0, 1, 1]), place)).toThrow("the placement's is 24x32");
    for (const radius of [-1, 1.5, NaN, Infinity])
      expect(() => pasteBack(original, image, mask, place, { feather: radius })).toThrow(
        `pasteBack: a feather of ${radius} pixels`,
      );
  });
});

test("whiteBox holds every pixel that is not black", () => {
  expect(whiteBox(boxMask(9, 7, [2, 3, 5, 4]))).toEqual([2, 3, 5, 4]);
  expect(whiteBox(boxMask(1, 1, [0, 0, 1, 1]))).toEqual([0, 0, 1, 1]);
  expect(whiteBox(binarise(boxMask(5, 5, [0, 0, 0, 0])))).toBeUndefined();
});
