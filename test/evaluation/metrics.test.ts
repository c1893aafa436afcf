import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { frechetDistance, kernelDistance } from "../../src/evaluation/distances.ts";
import { psnr, ssim, SSIM } from "../../src/evaluation/similarity.ts";
import { readImage } from "../../src/node/images.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { resize, resizeFloat } from "../../src/vision/resize.ts";
import { fixture, loadFixture, normal, relErr } from "../helpers.ts";

type Scores = Readonly<Record<keyof typeof SSIM | "psnr", number>>;

const expected = JSON.parse(readFileSync(fixture("evaluation/expected.json"), "utf8")) as {
  pairs: (Scores & { "ladi-vton": Scores })[];
  distances: Record<string, { fid: number; kid?: number }>;
};
const tensors = loadFixture("evaluation/expected.safetensors");
const pair = (i: number) =>
  Promise.all(["a", "b"].map((name) => readImage(fixture(`evaluation/${name}${i}.png`)))) as Promise<
    [RgbImage, RgbImage]
  >;

/** The references compute in double precision as we do. */
const NEAR = 1e-9;

function expectScores([a, b]: readonly [RgbImage, RgbImage], scores: Scores, tolerance: number): void {
  for (const [name, definition] of Object.entries(SSIM))
    expect(Math.abs(ssim(a, b, definition) - scores[name as keyof typeof SSIM]), name).toBeLessThan(tolerance);
  expect(Math.abs(psnr(a, b) - scores.psnr)).toBeLessThan(1000 * tolerance);
}

describe("SSIM and PSNR are those of torchmetrics and scikit-image", () => {
  test.for([0, 1])("picture %i", async (i) => {
    expectScores(await pair(i), expected.pairs[i]!, NEAR);
  });

  test.for([0, 1])("picture %i resized as torchvision does", async (i) => {
    const wide = (await pair(i)).map((image) => resize(image, 384, 512, "bilinear")) as [RgbImage, RgbImage];
    expectScores(wide, expected.pairs[i]!["ladi-vton"], 1e-4); // Pillow 13 may differ by a level in single bytes
  });

  test("equal pictures, two sizes, pictures smaller than the window", () => {
    const image = (width: number, height: number) => ({
      width,
      height,
      data: new Uint8Array(width * height * 3).fill(9),
    });
    for (const definition of Object.values(SSIM)) {
      expect(ssim(image(12, 11), image(12, 11), definition)).toBeCloseTo(1, 12);
      expect(() => ssim(image(12, 11), image(11, 12), definition)).toThrow("pictures of 12x11 and 11x12");
      expect(() => ssim(image(12, 5), image(12, 5), definition)).toThrow(/12x5; at least \d+ pixels/);
    }
    expect(psnr(image(3, 2), image(3, 2))).toBe(Infinity);
    expect(() => psnr(image(3, 2), image(2, 3))).toThrow("pictures of 3x2 and 2x3");
  });
});

test.for([0, 1])("resizing without rounding is clean-fid's, picture %i", async (i) => {
  const { shape, data } = tensors.get(`clean.${i}`)!;
  const [a] = await pair(i);
  const resized = resizeFloat(a, shape[1]!, shape[0]!, "bicubic").map((value) => Math.min(255, Math.max(0, value)));
  expect(relErr(resized, data)).toBeLessThan(1e-6);
});

/** Rows of a fixture's matrix. */
function rows(name: string): Float32Array[] {
  const { shape, data } = tensors.get(name)!;
  return Array.from({ length: shape[0]! }, (_, i) => data.subarray(i * shape[1]!, (i + 1) * shape[1]!));
}

describe("distances are those of clean-fid", () => {
  test.for(Object.entries(expected.distances))("%s", ([name, { fid, kid }]) => {
    const [a, b] = [rows(`${name}.a`), rows(`${name}.b`)];
    // the reference takes the root of a singular product where there are fewer rows than columns
    const tolerance = name === "wide" ? 1e-4 : 1e-8;
    expect(Math.abs(frechetDistance(a, b) / fid - 1)).toBeLessThan(tolerance);
    if (kid !== undefined) expect(Math.abs(kernelDistance(a, b) / kid - 1)).toBeLessThan(1e-10);
  });

  test("of one set to itself nothing, of shifted sets the squared shift, whichever comes first", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 12 }), fc.integer({ min: 1, max: 12 }), fc.nat(1000), (n, d, seed) => {
        const own = Array.from({ length: n }, (_, i) => normal(seed * 100 + i, d));
        const shifted = own.map((row) => row.map((value) => value + 2));
        expect(Math.abs(frechetDistance(own, own))).toBeLessThan(1e-5);
        expect(Math.abs(frechetDistance(own, shifted) - 4 * d)).toBeLessThan(1e-4 * d);
        expect(Math.abs(frechetDistance(own, shifted) - frechetDistance(shifted, own))).toBeLessThan(1e-6);
      }),
      { numRuns: 50, seed: 5 },
    );
  });

  test("subsets: the mean over many is near the whole, and the seed decides", () => {
    const make = (seed: number, shift: number) =>
      Array.from({ length: 60 }, (_, i) => normal(seed + i, 6).map((v) => v + shift));
    const [a, b] = [make(1, 0), make(900, 0.5)];
    const some = kernelDistance(a, b, { subsetSize: 30, seed: 1 });
    expect(Math.abs(some / kernelDistance(a, b) - 1)).toBeLessThan(0.2);
    expect(kernelDistance(a, b, { subsetSize: 30, seed: 1 })).toBe(some);
    expect(kernelDistance(a, b, { subsetSize: 30, seed: 2 })).not.toBe(some);
  });

  test("a set whose whole kernel would fill the memory is measured by its subsets", () => {
    const make = (seed: number, n: number) => Array.from({ length: n }, (_, i) => normal(seed + i, 2));
    const [few, many] = [make(1, 10), make(900, 60_000)];
    expect(Math.abs(kernelDistance(few, many))).toBeLessThan(5); // of one distribution both
  });

  test("one picture is too few", () => {
    const one = [Float32Array.of(1, 2)];
    expect(() => frechetDistance(one, one)).toThrow("1 pictures have no covariance");
    expect(() => kernelDistance(one, one)).toThrow("1 and 1 pictures are too few");
  });
});
