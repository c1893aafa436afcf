import { beforeAll, describe, expect, test } from "vitest";
import { ShapeError } from "../../src/util/errors.ts";
import {
  Enlarged,
  gaussianFilter,
  lanczosLattice,
  resizeArea,
  resizeLanczos4,
  type Plane,
} from "../../src/vision/filters.ts";
import { findPeaks, scratchFor } from "../../src/vision/peaks.ts";
import { normal, relErr } from "../helpers.ts";
import { openCv, type Mat, type OpenCV } from "./opencv.ts";

type Floats = Mat & { readonly data32F: Float32Array };
type Resizing = OpenCV & {
  readonly Size: new (width: number, height: number) => object;
  readonly INTER_AREA: number;
  readonly INTER_LANCZOS4: number;
  resize(from: Mat, to: Mat, size: object, fx: number, fy: number, filter: number): void;
};

const plane = (width: number, height: number, seed: number): Plane => ({
  width,
  height,
  data: normal(seed, width * height),
});
const bytes = (count: number, seed: number) =>
  Uint8Array.from({ length: count }, (_, i) => Math.imul(i + seed, 2654435761) >>> 24);

describe("against OpenCV 4.7", () => {
  let cv: Resizing;
  beforeAll(async () => void (cv = (await openCv()).cv as Resizing));

  test.each([
    [384, 512, 138, 184, 3],
    [384, 512, 138, 184, 1],
    [100, 70, 33, 69, 3],
    [100, 70, 50, 35, 3],
    [61, 47, 61, 20, 1],
    [7, 5, 1, 1, 3],
    [9, 9, 9, 9, 1],
  ])("area: %dx%d to %dx%d of %d channels", (width, height, toWidth, toHeight, channels) => {
    const image = { width, height, data: bytes(width * height * channels, 5) };
    const [from, to] = [
      cv.matFromArray(height, width, channels === 3 ? cv.CV_8UC3! : cv.CV_8UC1!, image.data),
      new cv.Mat(),
    ];
    cv.resize(from, to, new cv.Size(toWidth, toHeight), 0, 0, cv.INTER_AREA);
    const expected = Uint8Array.from(to.data);
    from.delete();
    to.delete();
    const { data } = resizeArea(image, toWidth, toHeight);
    const off = data.map((value, i) => Math.abs(value - expected[i]!));
    expect(Math.max(...off)).toBeLessThanOrEqual(1); // sums on the edge between two bytes
    expect(off.filter(Boolean).length).toBeLessThanOrEqual(data.length * 1e-4);
  });

  test.each([
    [18, 23, 144, 184],
    [138, 184, 384, 512],
    [5, 4, 13, 31],
    [1, 1, 4, 4],
    [30, 20, 17, 9],
  ])("Lanczos-4: %dx%d to %dx%d", (width, height, toWidth, toHeight) => {
    const image = plane(width, height, 7);
    const [from, to] = [cv.matFromArray(height, width, cv.CV_32FC1!, image.data), new cv.Mat()];
    cv.resize(from, to, new cv.Size(toWidth, toHeight), 0, 0, cv.INTER_LANCZOS4);
    const expected = Float32Array.from((to as Floats).data32F);
    from.delete();
    to.delete();
    expect(relErr(resizeLanczos4(image, toWidth, toHeight).data, expected)).toBeLessThan(1e-6);
  });
});

describe("area", () => {
  test("sizes that do not shrink are refused", () => {
    const image = { width: 4, height: 4, data: bytes(48, 1) };
    expect(() => resizeArea(image, 5, 4)).toThrow("resizeArea: 4x4 to 5x4 does not shrink");
    expect(() => resizeArea(image, 0, 4)).toThrow(ShapeError);
  });
});

describe("Lanczos-4", () => {
  test("single numbers and windows equal the whole", () => {
    const from = plane(13, 9, 3);
    const map = new Enlarged(from, lanczosLattice(from, { width: 40, height: 33 }));
    const all = map.render().data;
    const window = { left: 5, top: 0, right: 31, bottom: 20 };
    const part = map.render(window).data;
    for (let y = 0; y < 33; y++)
      for (let x = 0; x < 40; x++) {
        expect(map.at(x, y)).toBe(all[y * 40 + x]);
        const inside = x >= window.left && x < window.right && y < window.bottom;
        expect(part[y * 40 + x]).toBe(inside ? all[y * 40 + x] : 0);
      }
  });

  test("a constant stays constant; wrong sizes are refused", () => {
    const flat = { width: 6, height: 5, data: new Float32Array(30).fill(0.75) };
    for (const value of resizeLanczos4(flat, 20, 9).data) expect(value).toBeCloseTo(0.75, 6);
    expect(() => resizeLanczos4({ ...flat, width: 7 }, 20, 9)).toThrow("resizeLanczos4: 30 numbers of 7x5 for 7x5");
    expect(() => resizeLanczos4(flat, 20.5, 9)).toThrow("resizeLanczos4: 20.5x9 is not a size");
  });
});

describe("Gaussian", () => {
  // exp(-d²/18) for d up to 12, as SciPy cuts it off, mirrored with the edge repeated, straight from the definition
  function slow({ width, height, data }: Plane): Float64Array {
    const weights = Array.from({ length: 25 }, (_, i) => Math.exp(-((i - 12) ** 2) / 18));
    const total = weights.reduce((a, b) => a + b);
    const mirror = (i: number, size: number): number =>
      i < 0 ? mirror(-1 - i, size) : i >= size ? mirror(2 * size - 1 - i, size) : i;
    return Float64Array.from({ length: width * height }, (_, at) => {
      let sum = 0;
      for (let j = 0; j < 25; j++)
        for (let i = 0; i < 25; i++) {
          const [x, y] = [mirror((at % width) + i - 12, width), mirror(Math.floor(at / width) + j - 12, height)];
          sum += ((weights[i]! * weights[j]!) / total ** 2) * data[y * width + x]!;
        }
      return sum;
    });
  }

  test.each([
    [40, 31],
    [13, 50],
    [5, 3], // smaller than the reach: mirrored more than once
  ])("%dx%d equals the definition", (width, height) => {
    const image = plane(width, height, 11);
    expect(relErr(gaussianFilter(image, 3).data, slow(image))).toBeLessThan(1e-12);
  });

  test("a window equals the same part of the whole", () => {
    const image = plane(60, 50, 2);
    const window = { left: 0, top: 20, right: 33, bottom: 50 };
    const [all, part] = [gaussianFilter(image, 3).data, gaussianFilter(image, 3, window).data];
    for (let y = 20; y < 50; y++) expect(part.slice(y * 60, y * 60 + 33)).toEqual(all.slice(y * 60, y * 60 + 33));
    expect(part.slice(0, 20 * 60).every((value) => value === 0)).toBe(true);
  });

  test("data that do not fill the plane are refused", () => {
    expect(() => gaussianFilter({ width: 4, height: 4, data: new Float32Array(15) }, 3)).toThrow(
      "gaussianFilter: 15 numbers",
    );
  });
});

describe("peaks", () => {
  /** The published search, on the whole map. */
  function slow(map: Enlarged): string[] {
    const { width, height } = map;
    const all = map.render();
    const smooth = gaussianFilter(all, 3).data;
    const at = (x: number, y: number) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : smooth[y * width + x]!);
    const found: string[] = [];
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const near = [at(x - 1, y), at(x + 1, y), at(x, y - 1), at(x, y + 1)];
        if (at(x, y) > 0.1 && near.every((value) => at(x, y) >= value))
          found.push(`${x},${y},${all.data[y * width + x]}`);
      }
    return found;
  }

  test.each([0.02, 0.05, 0.1, 0.15, 0.5])(
    "none is lost by what is not computed, nor by what was before: noise of %f",
    (scale) => {
      const scratch = scratchFor({ width: 384, height: 512 });
      for (let seed = 0; seed < 6; seed++) {
        const coarse = { width: 18, height: 23, data: normal(seed, 18 * 23, { scale }) };
        coarse.data[seed * 60 + seed] = 0.8; // one near the corner, others within
        const source = resizeLanczos4(coarse, 144, 184);
        const map = new Enlarged(source, lanczosLattice(source, { width: 384, height: 512 }));
        const found = findPeaks(source, map, false, scratch).map(({ x, y, score }) => `${x},${y},${score}`);
        expect(findPeaks(source, map, true, scratch)).toEqual(findPeaks(source, map, true));
        const expected = slow(map);
        if (expected.length <= 128) expect(found).toEqual(expected);
        else expect(found).toHaveLength(128);
      }
    },
  );
});
