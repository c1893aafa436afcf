import { describe, expect, test } from "vitest";
import type { GrayImage } from "../../src/vision/image.ts";
import { LABEL } from "../../src/vision/labels.ts";
import { closeSmallHoles } from "../../src/vision/refine.ts";
import { findRegionContours } from "../../src/vision/regions.ts";
import { blob, randomNumbers } from "./blobs.ts";
import { matOf, openCv, type Mat } from "./opencv.ts";

const { cv } = await openCv();
const [CCOMP, TC89_L1] = [2, 3];

/** Borders on a map of 32-bit integers, by OpenCV. */
function contoursOf({ width, height, data }: GrayImage) {
  const mat = cv.matFromArray(height, width, cv["CV_32SC1"]!, data);
  const [contours, hierarchy] = [new cv.MatVector(), new cv.Mat()];
  cv.findContours(mat, contours, hierarchy, CCOMP, TC89_L1);
  const found = Array.from({ length: contours.size() }, (_, i) => {
    const contour = contours.get(i);
    return { points: [...contour.data32S], area: cv.contourArea(contour) };
  });
  const draw = (onto: Mat, i: number) => cv.drawContours(onto, contours, i, new cv.Scalar(255), -1);
  return { found, draw, free: () => [mat, contours, hierarchy].forEach((part) => part.delete()) };
}

/** The published steps one by one, with OpenCV and numpy's bytes. */
function published(labels: GrayImage): GrayImage {
  const [width, height] = [labels.width + 2, labels.height + 2];
  const p = new Uint8Array(width * height);
  for (let y = 0; y < labels.height; y++)
    for (let x = 0; x < labels.width; x++) p[(y + 1) * width + x + 1] = labels.data[y * labels.width + x]!;
  const arm = p.map((label) => (label === 14 || label === 15 ? 1 : 0));
  const cloth = p.map((label, i) => (label === 4 || arm[i] ? 255 : 0));
  const flooded = matOf(cv, { width, height, data: cloth });
  const mask = cv.matFromArray(height + 2, width + 2, cv["CV_8UC1"]!, new Uint8Array((width + 2) * (height + 2)));
  cv.floodFill(flooded, mask, new cv.Point(0, 0), new cv.Scalar(255));
  const filled = cloth.map((value, i) => value | (255 - flooded.data[i]!));
  const holes = { width, height, data: filled.map((set, i) => (set && p[i] !== 4 && !arm[i] ? 255 : 0)) };
  const contours = contoursOf(holes);
  const kept = matOf(cv, { width, height, data: new Uint8Array(width * height) });
  contours.found.forEach(({ area }, i) => area > 2000 && contours.draw(kept, i));
  const sum = kept.data.map((value, i) => value + arm[i]!); // a Uint8Array: 255 + 1 = 0
  const all = p.map((label, i) => (sum[i] !== 0 ? label : filled[i] ? 4 : label));
  for (const mat of [flooded, mask, kept]) mat.delete();
  contours.free();
  const data = new Uint8Array(labels.data.length);
  for (let i = 0; i < data.length; i++)
    data[i] = all[(Math.floor(i / labels.width) + 1) * width + (i % labels.width) + 1]!;
  return { ...labels, data };
}

/** A label map of background on which boxes are drawn one over the other. */
function boxes(width: number, height: number, ...drawn: [label: number, x: number, y: number, w: number, h: number][]) {
  const data = new Uint8Array(width * height);
  for (const [label, left, top, w, h] of drawn)
    for (let y = top; y < top + h; y++) data.fill(label, y * width + left, y * width + left + w);
  return { width, height, data };
}
const at = ({ width, data }: GrayImage, x: number, y: number) => data[y * width + x];
const { upper, leftArm, rightArm, bag, hair } = LABEL;

describe("borders on label maps", () => {
  test("are OpenCV's on 150 drawn blobs, one and several values", () => {
    for (let seed = 0; seed < 150; seed++) {
      const { width, height, data } = blob(seed);
      for (const levels of [1, 3]) {
        const random = randomNumbers(seed);
        const coarse = Uint8Array.from({ length: 400 }, () => 1 + random() * levels);
        const labels = data.map((value, i) => {
          const [x, y] = [i % width, Math.floor(i / width)];
          const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1;
          return edge || value === 0 ? 0 : coarse[(y >> 3) * 20 + (x >> 3)]!;
        });
        const expected = contoursOf({ width, height, data: labels });
        const got = findRegionContours({ width, height, data: labels }).map(({ points }) =>
          points.flatMap(({ x, y }) => [x, y]),
        );
        // OpenCV lists them from the last to the first, or holes after the borders around them: by content
        const sorted = (lists: readonly (readonly number[])[]) => lists.map((list) => list.join()).sort();
        expect(sorted(got), `blob ${seed}, ${levels} values`).toEqual(
          sorted(expected.found.map(({ points }) => points)),
        );
        expected.free();
      }
    }
  });
});

describe("closeSmallHoles", () => {
  test("a small hole in the clothes becomes clothes, whatever is in it", () => {
    const map = boxes(60, 60, [upper, 10, 10, 40, 40], [bag, 20, 20, 10, 10], [0, 35, 35, 10, 10]);
    expect(closeSmallHoles(map)).toEqual(boxes(60, 60, [upper, 10, 10, 40, 40]));
  });

  test("a hole between clothes and arm closes too; the arm stays", () => {
    const map = boxes(60, 60, [upper, 10, 10, 20, 40], [leftArm, 30, 10, 15, 40], [0, 25, 20, 10, 10]);
    const closed = closeSmallHoles(map);
    expect([at(closed, 28, 25), at(closed, 32, 25), at(closed, 40, 25)]).toEqual([upper, upper, leftArm]);
  });

  test("a hole of more than 2000 pixels keeps its label", () => {
    const map = boxes(100, 100, [upper, 10, 10, 80, 80], [bag, 20, 20, 60, 60]);
    expect(closeSmallHoles(map)).toEqual(map);
    const small = boxes(100, 100, [upper, 10, 10, 80, 80], [bag, 20, 20, 40, 40]);
    expect(closeSmallHoles(small)).toEqual(boxes(100, 100, [upper, 10, 10, 80, 80]));
  });

  test("what is open to the background is no hole, nor what the picture's edge closes", () => {
    const open = boxes(60, 60, [upper, 10, 10, 40, 40], [0, 20, 10, 10, 30]);
    expect(closeSmallHoles(open)).toEqual(open);
    const edge = boxes(60, 60, [upper, 0, 0, 60, 40], [hair, 20, 0, 20, 20]);
    expect(closeSmallHoles(edge)).toEqual(edge);
  });

  test("an arm inside the border of a large hole overflows into clothes, as published", () => {
    const map = boxes(120, 120, [upper, 10, 10, 100, 100], [bag, 20, 20, 80, 80], [rightArm, 50, 50, 10, 10]);
    const got = closeSmallHoles(map);
    expect(at(got, 55, 55)).toBe(upper);
    expect(at(got, 30, 30)).toBe(bag);
    expect(got).toEqual(published(map));
  });

  test("nothing changes without clothes and arms", () => {
    const map = boxes(60, 60, [hair, 10, 10, 40, 40], [bag, 20, 20, 10, 10]);
    expect(closeSmallHoles(map)).toEqual(map);
  });

  test("120 drawn label maps as the published steps with OpenCV", () => {
    let [closed, overflown] = [0, 0];
    for (let seed = 0; seed < 120; seed++) {
      const random = randomNumbers(seed);
      const whole = (least: number, most: number) => Math.floor(least + random() * (most - least + 1));
      const [width, height] = [whole(80, 160), whole(80, 160)];
      const labels = [upper, upper, leftArm, rightArm, 0, bag, hair, LABEL.dress];
      const drawn = Array.from({ length: whole(3, 14) }, (): [number, number, number, number, number] => {
        const [x, y] = [whole(0, width - 8), whole(0, height - 8)];
        return [labels[whole(0, 7)]!, x, y, whole(4, width - x), whole(4, height - y)];
      });
      const large: typeof drawn = [
        [upper, 4, 4, width - 8, height - 8],
        [bag, 8, 8, width - 16, height - 16],
        [leftArm, whole(12, 40), whole(12, 40), whole(4, 30), whole(4, 30)],
      ];
      const map = boxes(width, height, ...(seed % 3 === 0 ? large : []), ...drawn.slice(seed % 3 === 0 ? -3 : 0));
      for (let i = 0; i < map.data.length; i++) if (seed % 2 && random() < 0.02) map.data[i] = labels[whole(0, 7)]!;
      const got = closeSmallHoles(map);
      expect(Buffer.compare(got.data, published(map).data), `map ${seed}`).toBe(0);
      got.data.forEach((label, i) => {
        if (label === map.data[i]) return;
        if (map.data[i] === leftArm || map.data[i] === rightArm) overflown++;
        else closed++;
      });
    }
    expect(closed).toBeGreaterThan(1000); // the maps do have what this is about
    expect(overflown).toBeGreaterThan(100);
  });
});
