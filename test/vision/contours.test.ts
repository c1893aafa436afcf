import { beforeAll, describe, expect, test } from "vitest";
import { contourArea, findContours, type Contour } from "../../src/vision/contours.ts";
import type { GrayImage } from "../../src/vision/image.ts";
import { dilateBox, fillHoles, floodFill } from "../../src/vision/morphology.ts";
import { fillPolygon } from "../../src/vision/polygon.ts";
import { blob } from "./blobs.ts";
import { matOf, openCv, type OpenCV } from "./opencv.ts";

const BLOBS = 200;
const key = (points: Contour["points"]) => points.map(({ x, y }) => `${x},${y}`).join(" ");

describe("against OpenCV 4.7, 200 random blobs", () => {
  let cv: OpenCV;
  beforeAll(async () => void ({ cv } = await openCv()));

  /** Contours of OpenCV, sorted by their text. */
  function contoursOf(image: GrayImage, method: number) {
    const [mat, vector, hierarchy] = [matOf(cv, image), new cv.MatVector(), new cv.Mat()];
    cv.findContours(mat, vector, hierarchy, cv.RETR_CCOMP!, method);
    const found = Array.from({ length: vector.size() }, (_, i) => {
      const contour = vector.get(i);
      const flat = contour.data32S;
      const points = Array.from({ length: flat.length / 2 }, (_, k) => `${flat[2 * k]},${flat[2 * k + 1]}`).join(" ");
      return { points, area: cv.contourArea(contour), hole: hierarchy.data32S[4 * i + 3]! >= 0 };
    });
    for (const part of [mat, vector, hierarchy]) part.delete();
    return found.sort((a, b) => (a.points < b.points ? -1 : 1));
  }

  test.each([true, false])("borders, their areas and which are holes; simplified: %s", (simplify) => {
    let count = 0;
    for (let seed = 0; seed < BLOBS; seed++) {
      const image = blob(seed);
      const expected = contoursOf(image, simplify ? cv.CHAIN_APPROX_TC89_L1! : cv.CHAIN_APPROX_NONE!);
      const found = findContours(image, { simplify }).map(({ points, hole }) => ({
        points: key(points),
        area: contourArea(points),
        hole,
      }));
      expect(found.sort((a, b) => (a.points < b.points ? -1 : 1))).toEqual(expected);
      count += found.length;
    }
    expect(count).toBeGreaterThan(BLOBS);
  });

  test("polygon fill of every simplified border", () => {
    for (let seed = 0; seed < BLOBS; seed++) {
      const image = blob(seed);
      for (const { points } of findContours(image)) {
        const [mat, vector] = [matOf(cv, { ...image, data: new Uint8Array(image.data.length) }), new cv.MatVector()];
        const corners = cv.matFromArray(
          points.length,
          1,
          cv.CV_32SC2!,
          points.flatMap(({ x, y }) => [x, y]),
        );
        vector.push_back(corners);
        cv.drawContours(mat, vector, 0, new cv.Scalar(255), -1);
        const filled = { ...image, data: new Uint8Array(image.data.length) };
        fillPolygon(filled, points);
        expect(Buffer.compare(filled.data, mat.data), `blob ${seed}`).toBe(0);
        for (const part of [mat, vector, corners]) part.delete();
      }
    }
  });

  test("flood fill from the corner, and hole filling by it", () => {
    for (let seed = 0; seed < BLOBS; seed++) {
      const image = blob(seed);
      const { width, height, data } = image;
      const framed = data.map((v, i) =>
        i % width === 0 || i % width === width - 1 || i < width || i >= data.length - width ? 0 : v,
      );
      const mat = matOf(cv, { width, height, data: framed });
      const mask = cv.matFromArray(height + 2, width + 2, cv.CV_8UC1!, new Uint8Array((height + 2) * (width + 2)));
      cv.floodFill(mat, mask, new cv.Point(0, 0), new cv.Scalar(255));
      const reached = floodFill({ width, height, data: framed });
      expect(
        Buffer.compare(
          mat.data,
          framed.map((v, i) => v | reached.data[i]!),
        ),
      ).toBe(0);
      expect(
        Buffer.compare(
          mat.data.map((v, i) => framed[i]! | (255 - v)),
          fillHoles(image).data,
        ),
      ).toBe(0);
      for (const part of [mat, mask]) part.delete();
    }
  });

  test.each([
    [5, 1],
    [5, 4],
    [5, 5],
    [3, 2],
  ])("dilation with a %d-pixel box, %d times", (size, times) => {
    const kernel = cv.Mat.ones(size, size, cv.CV_8U!);
    for (let seed = 0; seed < BLOBS; seed++) {
      const image = blob(seed);
      const [mat, out] = [matOf(cv, image), new cv.Mat()];
      cv.dilate(mat, out, kernel, new cv.Point(-1, -1), times);
      expect(Buffer.compare(out.data, dilateBox(image, (size - 1) * times + 1).data)).toBe(0);
      for (const part of [mat, out]) part.delete();
    }
    kernel.delete();
  });
});
