import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readImage } from "../../src/node/images.ts";
import { ShapeError } from "../../src/util/errors.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { findBackground, foregroundBox, trimGarment } from "../../src/vision/trim.ts";
import { fixture } from "../helpers.ts";
import { boxOf, noise, painted, pixel, plain, shares } from "./pictures.ts";

const WHITE = [250, 250, 250] as const;
const BLUE = [20, 40, 160] as const;

/** A picture with ± `levels` on every byte. */
function grain(image: RgbImage, levels: number): RgbImage {
  const rough = noise(image.width, image.height);
  const data = image.data.map((value, i) =>
    Math.min(255, Math.max(0, value + Math.round(((rough.data[i]! - 127.5) / 127.5) * levels))),
  );
  return { ...image, data };
}

function trimmed(image: RgbImage, width: number, height: number, margin?: number) {
  const result = trimGarment(image, { width, height, margin });
  if (!result.isTrimmed) throw new Error(result.reason);
  return result;
}

describe("findBackground", () => {
  test("one colour, with grain and a garment that leaves the picture", () => {
    expect(findBackground(plain(50, 70, WHITE))).toEqual({
      isPlain: true,
      background: { colour: WHITE, tolerance: 6 },
    });
    const shirt = painted(plain(200, 200, WHITE), [60, 20, 140, 200], BLUE); // a tenth of the border
    expect(findBackground(shirt)).toEqual({ isPlain: true, background: { colour: WHITE, tolerance: 6 } });
    expect(findBackground(grain(shirt, 6)).isPlain).toBe(true);
  });

  test("photographs and patterns are not plain", async () => {
    for (const name of ["astronaut", "coffee"])
      expect(findBackground(await readImage(fixture(`images/${name}.png`))).isPlain).toBe(false);
    expect(findBackground(noise(90, 120))).toMatchObject({ isPlain: false });
    const half = painted(plain(100, 100, WHITE), [0, 0, 40, 100], BLUE);
    expect(findBackground(half)).toEqual({ isPlain: false, spread: 230 });
  });

  test("single pixels and lines have a border too", () => {
    for (const [width, height] of [
      [1, 1],
      [1, 40],
      [40, 1],
      [2, 2],
      [3, 40],
    ] as const)
      expect(findBackground(plain(width, height, BLUE))).toEqual({
        isPlain: true,
        background: { colour: BLUE, tolerance: 6 },
      });
  });
});

describe("trimGarment", () => {
  test("the garment in the middle, as large as the margin allows", () => {
    const photo = painted(plain(400, 300, WHITE), [30, 40, 130, 240], BLUE);
    const { image, box, place } = trimmed(photo, 96, 128, 0.1);
    expect(box).toEqual([30, 40, 130, 240]);
    // 200 pixels and twice 20 become 128 rows; 180 columns would fit, 40 of them left of the photo's 80th
    expect(place).toMatchObject({ source: [0, 20, 170, 260], from: { width: 400, height: 300 } });
    expect(place.target).toEqual([5, 0, 96, 128]);
    expect([image.width, image.height]).toEqual([96, 128]);
    const found = foregroundBox(image, { colour: WHITE, tolerance: 100 })!;
    for (const [i, expected] of [21, 11, 75, 117].entries())
      expect(Math.abs(found[i]! - expected)).toBeLessThanOrEqual(1);
    for (const corner of [pixel(image, 0, 0), pixel(image, 0, 127), pixel(image, 95, 0)])
      expect(corner).toEqual([...WHITE]);
  });

  test("any garment on a plain picture: found to the pixel, all of it kept, not distorted", () => {
    const sizes = fc.record({ width: fc.integer({ min: 20, max: 120 }), height: fc.integer({ min: 20, max: 120 }) });
    const inner = shares.map((share) => share.map((value) => 0.1 + 0.8 * value) as unknown as typeof share);
    fc.assert(
      fc.property(sizes, sizes, inner, fc.double({ min: 0, max: 0.3, noNaN: true }), (from, to, share, margin) => {
        const drawn = boxOf(share, from.width, from.height);
        const photo = painted(plain(from.width, from.height, WHITE), drawn, BLUE);
        const { image, box, place } = trimmed(photo, to.width, to.height, margin);
        expect(box).toEqual(drawn);
        expect([image.width, image.height]).toEqual([to.width, to.height]);
        const { source, target } = place;
        expect(source[0] <= box[0] && source[1] <= box[1] && source[2] >= box[2] && source[3] >= box[3]).toBe(true);
        const [x, y] = [
          (target[2] - target[0]) / (source[2] - source[0]),
          (target[3] - target[1]) / (source[3] - source[1]),
        ];
        const pixels = Math.min(
          source[2] - source[0],
          source[3] - source[1],
          target[2] - target[0],
          target[3] - target[1],
        );
        expect(Math.max(x / y, y / x)).toBeLessThan(1 + 3 / pixels);
      }),
      { numRuns: 300 },
    );
  });

  test("grain, specks and a shade of white: the garment is found all the same", () => {
    let photo: RgbImage = painted(plain(600, 800, [255, 255, 255]), [200, 200, 420, 600], [238, 238, 238]);
    photo = grain(painted(photo, [50, 50, 51, 51], [0, 0, 0]), 3);
    const { box } = trimmed(photo, 96, 128);
    for (const [i, expected] of [200, 200, 420, 600].entries())
      expect(Math.abs(box[i]! - expected)).toBeLessThanOrEqual(1);
  });

  test("a garment that the photo cuts off is cut off in the result: the border is background at once", () => {
    const photo = painted(plain(300, 300, WHITE), [110, 60, 190, 300], BLUE);
    const { image, place } = trimmed(photo, 96, 128, 0.1);
    expect(place.target[3]).toBeLessThan(125);
    for (let y = place.target[3]; y < 128; y++)
      for (let x = 0; x < 96; x++)
        for (const value of pixel(image, x, y)) expect(Math.abs(value - 250)).toBeLessThanOrEqual(6); // bicubic rings
    expect(pixel(image, 48, place.target[3] - 1)).toEqual([...BLUE]);
  });

  test("without a plain background the photo comes back itself, with the reason", async () => {
    const photo = await readImage(fixture("images/coffee.png"));
    const result = trimGarment(photo, { width: 96, height: 128 });
    expect(result.image).toBe(photo);
    expect(result).toMatchObject({ isTrimmed: false });
    expect(!result.isTrimmed && result.reason).toMatch(
      /^its background is not plain: at the border colours differ by \d+ levels \(at most 16\)$/,
    );
  });

  test("a photo of nothing comes back itself", () => {
    for (const [width, height] of [
      [90, 120],
      [1, 50],
      [50, 1],
      [1, 1],
    ] as const) {
      const photo = plain(width, height, WHITE);
      const result = trimGarment(photo, { width: 96, height: 128 });
      expect(result).toEqual({ isTrimmed: false, image: photo, reason: "nothing differs from its background" });
      expect(result.image).toBe(photo);
    }
  });

  test("margins and sizes that are none are refused", () => {
    const photo = plain(9, 9, WHITE);
    for (const margin of [-0.1, NaN, 1.5])
      expect(() => trimGarment(photo, { width: 9, height: 9, margin })).toThrow(`a margin of ${margin} of the garment`);
    expect(() => trimGarment(photo, { width: 0, height: 9 })).toThrow("trimGarment: 0x9 is not a size");
    expect(() => trimGarment({ ...photo, data: new Uint8Array(81) }, { width: 9, height: 9 })).toThrow(ShapeError);
  });
});
