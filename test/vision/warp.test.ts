import { describe, expect, test } from "vitest";
import { squareTransform } from "../../src/vision/classify.ts";
import {
  getAffineTransform,
  invertAffine,
  upsample,
  warpAffine,
  type Affine,
  type Pixels,
} from "../../src/vision/warp.ts";
import { normal } from "../helpers.ts";
import { randomNumbers } from "./blobs.ts";
import { openCv, type Mat } from "./opencv.ts";

interface Warping {
  readonly Mat: new () => Mat & { readonly data32F: Float32Array };
  readonly Size: new (width: number, height: number) => object;
  readonly Scalar: new () => object;
  warpAffine(from: Mat, to: Mat, matrix: Mat, size: object, flags: number, border: number, value: object): void;
  matFromArray(rows: number, cols: number, type: number, values: ArrayLike<number>): Mat;
  readonly [constant: `CV_${string}`]: number;
}
const { cv } = (await openCv()) as unknown as { cv: Warping };
const [LINEAR, CONSTANT] = [1, 0];

/** What OpenCV 4.7 makes of it. */
function oracle<T extends Uint8Array | Float32Array>(
  { width, height, data }: Pixels<T>,
  affine: Affine,
  w: number,
  h: number,
): T {
  const channels = data.length / (width * height);
  const type = cv[`CV_${data instanceof Uint8Array ? "8U" : "32F"}C${channels}`]!;
  const [from, to] = [cv.matFromArray(height, width, type, data), new cv.Mat()];
  const matrix = cv.matFromArray(2, 3, cv["CV_64FC1"]!, affine);
  cv.warpAffine(from, to, matrix, new cv.Size(w, h), LINEAR, CONSTANT, new cv.Scalar());
  const out = (data instanceof Uint8Array ? to.data : to.data32F).slice() as T;
  for (const mat of [from, to, matrix]) mat.delete();
  return out;
}

const bytes = (seed: number, count: number) => {
  const random = randomNumbers(seed);
  return Uint8Array.from({ length: count }, () => 256 * random());
};
const picture = { width: 384, height: 512, data: bytes(1, 384 * 512 * 3) };
const IDENTITY: Affine = [1, 0, 0, 0, 1, 0];

/** How many numbers differ, minus zero and zero being one. */
const differences = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  a.length === b.length ? Array.from(a).filter((value, i) => value !== b[i]).length : Infinity;

describe("warpAffine", () => {
  test("the identity changes nothing", () => {
    expect(differences(warpAffine(picture, IDENTITY, 384, 512).data, picture.data)).toBe(0);
    const floats = { width: 31, height: 17, data: normal(1, 31 * 17) };
    expect(warpAffine(floats, IDENTITY, 31, 17)).toEqual(floats);
  });

  test("whole pixels moved by whole pixels, out of the picture too", () => {
    for (const [across, down] of [
      [5, -3],
      [-40, 2],
      [400, 0],
      [0, -600],
    ] as const) {
      const affine: Affine = [1, 0, across, 0, 1, down];
      expect(differences(warpAffine(picture, affine, 300, 520).data, oracle(picture, affine, 300, 520))).toBe(0);
    }
  });

  test("384x512 on a square of 512 has 64 black columns on either side, and comes back whole", () => {
    const affine = squareTransform(384, 512, 512);
    expect(affine.map((value) => value + 0)).toEqual([1, 0, 64, 0, 1, 0]); // no minus zeros
    const square = warpAffine(picture, affine, 512, 512);
    for (const y of [0, 1, 255, 511]) {
      const row = square.data.subarray(y * 512 * 3, (y + 1) * 512 * 3);
      expect(row.subarray(0, 192).every((value) => value === 0)).toBe(true);
      expect(row.subarray(-192).every((value) => value === 0)).toBe(true);
      expect(differences(row.subarray(192, -192), picture.data.subarray(y * 384 * 3, (y + 1) * 384 * 3))).toBe(0);
    }
    expect(differences(warpAffine(square, invertAffine(affine), 384, 512).data, picture.data)).toBe(0);
  });

  test("on a square of 473 and back as OpenCV does", () => {
    const affine = squareTransform(384, 512, 473);
    expect(affine[0]).toBeCloseTo(472 / 511, 12);
    expect(affine[2]).toBeCloseTo((64 * 472) / 511, 10);
    expect(differences(warpAffine(picture, affine, 473, 473).data, oracle(picture, affine, 473, 473))).toBe(0);
    const logits = { width: 473, height: 473, data: normal(2, 473 * 473, { scale: 5 }) };
    const back = invertAffine(affine);
    expect(differences(warpAffine(logits, back, 384, 512).data, oracle(logits, back, 384, 512))).toBe(0);
  });

  test("60 drawn transforms as OpenCV does, turned, mirrored and sheared ones, far beyond the picture", () => {
    for (let seed = 0; seed < 60; seed++) {
      const random = randomNumbers(seed);
      const whole = (least: number, most: number) => Math.floor(least + random() * (most - least + 1));
      const [width, height, w, h, channels] = [whole(1, 60), whole(1, 60), whole(1, 80), whole(1, 80), whole(1, 4)];
      const affine = Array.from(
        { length: 6 },
        (_, i) => (random() - 0.5) * (i % 3 === 2 ? 80 : 4),
      ) as unknown as Affine;
      const count = width * height * channels;
      const coloured = { width, height, data: bytes(seed, count) };
      expect(differences(warpAffine(coloured, affine, w, h).data, oracle(coloured, affine, w, h)), `${seed}`).toBe(0);
      const floats = { width, height, data: normal(seed, count) };
      expect(differences(warpAffine(floats, affine, w, h).data, oracle(floats, affine, w, h)), `${seed}`).toBe(0);
    }
  });

  test("refuses what it cannot do", () => {
    expect(() => warpAffine(picture, [1, 2, 0, 2, 4, 0], 9, 9)).toThrow("invertAffine: the transform has no inverse");
    expect(() => warpAffine({ ...picture, width: 385 }, IDENTITY, 9, 9)).toThrow(
      "warpAffine: 589824 numbers for 385x512 pixels",
    );
  });
});

describe("getAffineTransform", () => {
  test("moves the points where they should be", () => {
    for (let seed = 0; seed < 50; seed++) {
      const random = randomNumbers(seed);
      const point = () => ({ x: 100 * random(), y: 100 * random() });
      const [from, to] = [[point(), point(), point()] as const, [point(), point(), point()] as const];
      const [a, b, c, d, e, f] = getAffineTransform(from, to);
      from.forEach(({ x, y }, i) => {
        expect(a * x + b * y + c).toBeCloseTo(to[i]!.x, 6);
        expect(d * x + e * y + f).toBeCloseTo(to[i]!.y, 6);
      });
    }
  });

  test("refuses points on a line", () => {
    const line = [
      { x: 0, y: 0 },
      { x: 1, y: 1 },
      { x: 2, y: 2 },
    ] as const;
    expect(() => getAffineTransform(line, line)).toThrow("getAffineTransform: the three points lie on a line");
  });
});

describe("upsample", () => {
  test.for([
    { from: [128, 128], to: [512, 512] },
    { from: [119, 119], to: [473, 473] },
    { from: [3, 5], to: [7, 11] },
    { from: [1, 1], to: [4, 3] },
    { from: [6, 4], to: [6, 4] },
    { from: [5, 5], to: [1, 1] },
  ])("$from to $to", ({ from: [width = 0, height = 0], to: [w = 0, h = 0] }) => {
    const plane = { width, height, data: normal(3, width * height) };
    const got = upsample(plane, w, h);
    const along = (i: number, inSize: number, outSize: number) =>
      outSize > 1 ? (i * (inSize - 1)) / (outSize - 1) : 0;
    let worst = 0;
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        const [u, v] = [along(x, width, w), along(y, height, h)];
        const [left, top] = [Math.floor(u), Math.floor(v)];
        const at = (i: number, j: number) => plane.data[Math.min(j, height - 1) * width + Math.min(i, width - 1)]!;
        const row = (j: number) => at(left, j) * (1 - (u - left)) + at(left + 1, j) * (u - left);
        const expected = row(top) * (1 - (v - top)) + row(top + 1) * (v - top);
        worst = Math.max(worst, Math.abs(got.data[y * w + x]! - expected));
      }
    expect(worst).toBeLessThan(1e-4); // positions up to 128 in float32: 2^-17 of a pixel, times differences of about 8
    expect(got.data[0]).toBe(plane.data[0]);
    if (w >= width && h >= height) expect(got.data.at(-1)).toBeCloseTo(plane.data.at(-1)!, 4);
  });
});
