import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readImage } from "../../src/node/images.ts";
import { ShapeError } from "../../src/util/errors.ts";
import { fit, fitMask, hasShape, placementOf, placeImage, unfitMask } from "../../src/vision/fit.ts";
import { resize } from "../../src/vision/resize.ts";
import { fixture } from "../helpers.ts";
import { boxMask, boxOf, mode, noise, painted, pixel, plain, shares, side, smooth } from "./pictures.ts";

const sizes = fc.record({ width: side, height: side });

describe("placement", () => {
  const at = (width: number, height: number, options: Partial<Parameters<typeof placementOf>[1]> = {}) => {
    const { source, target } = placementOf({ width, height }, { width: 768, height: 1024, ...options });
    return { source, target };
  };

  test("pad: the whole picture, the border where the shape lacks something", () => {
    expect(at(512, 512)).toEqual({ source: [0, 0, 512, 512], target: [0, 128, 768, 896] });
    expect(at(1080, 1920)).toEqual({ source: [0, 0, 1080, 1920], target: [96, 0, 672, 1024] });
    expect(at(1, 65535)).toEqual({ source: [0, 0, 1, 65535], target: [384, 0, 385, 1024] });
    expect(at(65535, 1)).toEqual({ source: [0, 0, 65535, 1], target: [0, 512, 768, 513] });
  });

  test("pad: a person whom one edge cuts off stays at that edge of the frame", () => {
    expect(at(512, 512, { person: [100, 60, 400, 512] }).target).toEqual([0, 256, 768, 1024]);
    expect(at(512, 512, { person: [100, 2, 400, 400] }).target).toEqual([0, 0, 768, 768]);
    expect(at(512, 512, { person: [100, 0, 400, 512] }).target).toEqual([0, 128, 768, 896]); // both
    expect(at(512, 512, { person: [0, 100, 400, 400] }).target).toEqual([0, 128, 768, 896]); // neither
    expect(at(300, 800, { person: [0, 100, 200, 400] }).target).toEqual([0, 0, 384, 1024]);
  });

  test("crop: the middle, or the person in the middle, within the picture", () => {
    const whole = [0, 0, 768, 1024];
    expect(at(1600, 1024, { mode: "crop" })).toEqual({ source: [416, 0, 1184, 1024], target: whole });
    expect(at(768, 2000, { mode: "crop" })).toEqual({ source: [0, 488, 768, 1512], target: whole });
    expect(at(1600, 1024, { mode: "crop", person: [900, 0, 1300, 1024] }).source).toEqual([716, 0, 1484, 1024]);
    expect(at(1600, 1024, { mode: "crop", person: [1500, 0, 1600, 1024] }).source).toEqual([832, 0, 1600, 1024]);
    expect(at(768, 2000, { mode: "crop", person: [0, 100, 768, 900] }).source).toEqual([0, 0, 768, 1024]);
    expect(at(768, 2000, { mode: "crop", person: [0, 900, 768, 1000] }).source).toEqual([0, 438, 768, 1462]);
  });

  test("crop: of a person too tall for the frame the head is kept", () => {
    expect(at(768, 2000, { mode: "crop", person: [100, 300, 600, 1990] }).source).toEqual([0, 300, 768, 1324]);
    expect(at(768, 2000, { mode: "crop", person: [0, 0, 768, 2000] }).source).toEqual([0, 0, 768, 1024]);
  });

  test("stretch: everything to everything", () => {
    expect(at(1000, 3, { mode: "stretch" })).toEqual({ source: [0, 0, 1000, 3], target: [0, 0, 768, 1024] });
  });

  test("the shape counts to half a pixel of the picture", () => {
    for (const [width, height] of [
      [768, 1024],
      [3, 4],
      [1000, 1333],
      [1001, 1335],
      [384, 512],
    ] as const)
      for (const each of ["pad", "crop", "stretch"] as const)
        expect(at(width, height, { mode: each })).toEqual({ source: [0, 0, width, height], target: [0, 0, 768, 1024] });
    expect(hasShape({ width: 1000, height: 1335 }, { width: 768, height: 1024 })).toBe(false);
  });

  test("boxes beyond the picture are clipped, empty ones and sizes that are none refused", () => {
    expect(at(512, 512, { person: [-50, 60, 900, 700] }).target).toEqual([0, 256, 768, 1024]);
    expect(() => at(512, 512, { person: [600, 0, 700, 10] })).toThrow(
      "fit: box [600, 0, 700, 10] holds nothing of a picture of 512x512",
    );
    expect(() => at(512, 512, { person: [NaN, 0, 10, 10] })).toThrow(ShapeError);
    expect(() => at(512, 512, { width: 7.5 })).toThrow("fit: 7.5x1024 is not the size of an output");
    expect(() => at(0, 512)).toThrow("fit: 0x512 is not the size of a picture");
  });

  test("whatever the sizes: both boxes hold something, lie within, and distort by less than a pixel", () => {
    fc.assert(
      fc.property(sizes, sizes, mode, fc.option(shares), (from, to, name, share) => {
        const person = share ? boxOf(share, from.width, from.height) : undefined;
        const { source, target } = placementOf(from, { ...to, mode: name, person });
        for (const [box, size] of [
          [source, from],
          [target, to],
        ] as const) {
          expect(box.every(Number.isInteger)).toBe(true);
          expect(0 <= box[0] && box[0] < box[2] && box[2] <= size.width).toBe(true);
          expect(0 <= box[1] && box[1] < box[3] && box[3] <= size.height).toBe(true);
        }
        if (name !== "crop") expect(source).toEqual([0, 0, from.width, from.height]);
        if (name !== "pad") expect(target).toEqual([0, 0, to.width, to.height]);
        if (name === "pad" && !hasShape(from, to)) {
          const scale = Math.min(to.width / from.width, to.height / from.height);
          expect(Math.abs(target[2] - target[0] - from.width * scale)).toBeLessThan(1);
          expect(Math.abs(target[3] - target[1] - from.height * scale)).toBeLessThan(1);
        }
        if (name === "crop" && !hasShape(from, to)) {
          const scale = Math.min(from.width / to.width, from.height / to.height);
          expect(Math.abs(source[2] - source[0] - to.width * scale)).toBeLessThan(1);
          expect(Math.abs(source[3] - source[1] - to.height * scale)).toBeLessThan(1);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("fit", () => {
  test("stretch is the published resize, as is every mode for a picture of the output's shape", async () => {
    const image = await readImage(fixture("images/coffee.png"));
    const published = await readImage(fixture("images/coffee.bicubic.384x512.png"));
    expect(Buffer.compare(fit(image, { width: 384, height: 512, mode: "stretch" }).image.data, published.data)).toBe(0);
    const upright = noise(30, 40);
    const expected = resize(upright, 48, 64, "bicubic");
    for (const name of ["pad", "crop", "stretch"] as const)
      expect(fit(upright, { width: 48, height: 64, mode: name }).image).toEqual(expected);
  });

  test("any picture to any size; what is not border is the picture, resized", () => {
    fc.assert(
      fc.property(sizes, sizes, mode, fc.nat(99), (from, to, name, seed) => {
        const picture = noise(from.width, from.height, 3, seed);
        const { image, place } = fit(picture, { ...to, mode: name });
        expect([image.width, image.height, image.data.length]).toEqual([to.width, to.height, to.width * to.height * 3]);
        const [left, top, right, bottom] = place.target;
        const inner = resize(picture, right - left, bottom - top, "bicubic", place.source);
        for (let y = top; y < bottom; y++)
          for (let x = left; x < right; x++) expect(pixel(image, x, y)).toEqual(pixel(inner, x - left, y - top));
      }),
    );
  });

  test("a plain picture gets a border of its colour, exactly", () => {
    fc.assert(
      fc.property(sizes, sizes, fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255)), (from, to, colour) => {
        const { image } = fit(plain(from.width, from.height, colour), to);
        expect(image).toEqual(plain(to.width, to.height, colour));
      }),
    );
  });

  test("no seam: where the edge is smooth, the border begins as the edge ends", () => {
    const { image, place } = fit(smooth(200, 100), { width: 90, height: 120 });
    const [, top, , bottom] = place.target;
    expect(top).toBeGreaterThan(20);
    for (let x = 0; x < 90; x++)
      for (const [edge, beyond] of [
        [top, top - 1],
        [bottom - 1, bottom],
      ] as const)
        for (const [c, value] of pixel(image, x, edge).entries())
          expect(Math.abs(value - pixel(image, x, beyond)[c]!)).toBeLessThanOrEqual(3);
  });

  test("what a person leaves at the edge fades into the background", () => {
    const person = painted(plain(120, 120, [220, 220, 220]), [50, 20, 70, 120], [30, 60, 160]);
    const { image } = fit(person, { width: 120, height: 220 });
    expect(pixel(image, 60, 169)).toEqual([30, 60, 160]); // the picture's last row
    const after = (rows: number) => 220 - pixel(image, 60, 169 + rows)[0]!;
    expect(after(1)).toBeGreaterThan(100);
    expect(after(20)).toBeLessThan(after(10));
    expect(after(50)).toBeLessThan(12);
    expect(pixel(image, 2, 219).every((value) => value > 215)).toBe(true);
  });

  test("the input is left alone", () => {
    const picture = noise(31, 7);
    const before = picture.data.slice();
    fit(picture, { width: 24, height: 32 });
    expect(picture.data).toEqual(before);
  });

  test("another picture than the placement's is refused, and so is a mask in place of a picture", () => {
    const { place } = fit(noise(31, 7), { width: 24, height: 32 });
    expect(() => placeImage(noise(30, 7), place)).toThrow("placeImage: the picture is 30x7, the placement's is 31x7");
    expect(() => placeImage(boxMask(31, 7, [0, 0, 1, 1]), place)).toThrow(
      "placeImage: 1 channels a pixel, 3 are needed",
    );
    expect(() => fitMask(noise(31, 7), place)).toThrow("fitMask: 3 channels a pixel, 1 are needed");
    expect(() => unfitMask(boxMask(31, 7, [0, 0, 1, 1]), place)).toThrow(ShapeError);
  });
});

describe("masks", () => {
  test("the border is black, the rest the mask's nearest pixels", () => {
    fc.assert(
      fc.property(sizes, sizes, mode, fc.nat(99), (from, to, name, seed) => {
        const mask = noise(from.width, from.height, 1, seed);
        const place = placementOf(from, { ...to, mode: name });
        const [left, top, right, bottom] = place.target;
        const inner = resize(mask, right - left, bottom - top, "nearest", place.source);
        const fitted = fitMask(mask, place);
        for (let y = 0; y < to.height; y++)
          for (let x = 0; x < to.width; x++) {
            const isInside = x >= left && x < right && y >= top && y < bottom;
            const expected = isInside ? inner.data[(y - top) * inner.width + x - left] : 0;
            expect(fitted.data[y * to.width + x]).toBe(expected);
          }
      }),
    );
  });

  test("there and back at a larger size is the same mask, black where it was cut off", () => {
    fc.assert(
      fc.property(
        sizes,
        mode,
        fc.integer({ min: 60, max: 90 }),
        fc.integer({ min: 60, max: 90 }),
        (from, name, width, height) => {
          const mask = noise(from.width, from.height, 1);
          const place = placementOf(from, { width, height, mode: name });
          const [left, top, right, bottom] = place.source;
          // shrinking loses pixels
          fc.pre(
            right - left <= place.target[2] - place.target[0] && bottom - top <= place.target[3] - place.target[1],
          );
          const back = unfitMask(fitMask(mask, place), place);
          for (let y = 0; y < from.height; y++)
            for (let x = 0; x < from.width; x++) {
              const isInside = x >= left && x < right && y >= top && y < bottom;
              expect(back.data[y * from.width + x]).toBe(isInside ? mask.data[y * from.width + x] : 0);
            }
        },
      ),
    );
  });

  test("a mask of another size covers the same part", () => {
    const place = placementOf(
      { width: 400, height: 200 },
      { width: 48, height: 64, mode: "crop", person: [300, 0, 400, 200] },
    );
    expect(place.source).toEqual([250, 0, 400, 200]);
    const whole = fitMask(boxMask(400, 200, [300, 100, 350, 150]), place);
    expect(fitMask(boxMask(200, 100, [150, 50, 175, 75]), place)).toEqual(whole);
    expect(whole).toEqual(boxMask(48, 64, [16, 32, 32, 48]));
  });
});
