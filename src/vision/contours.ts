import type { GrayImage } from "./image.ts";
import { dominantPoints } from "./dominant.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A closed border; `hole`: of a hole, its points still lie on the mask. */
export interface Contour {
  readonly points: readonly Point[];
  readonly hole: boolean;
}

/** Chain codes: 0 is east, then counter-clockwise on the screen; y points down. */
const DX = [1, 1, 0, -1, -1, -1, 0, 1] as const;
const DY = [0, -1, -1, -1, 0, 1, 1, 1] as const;

/** Marks of the border follower on pixels of the mask. */
const FRESH = 1;
const SEEN = 2;
const SEEN_RIGHT = -2; // and the pixel to its right was found empty: no hole's border begins there again

/**
 * Every border of a mask as `findContours(RETR_CCOMP, CHAIN_APPROX_TC89_L1)` of OpenCV 4.7 finds and simplifies it
 * (S. Suzuki and K. Abe, Topological structural analysis of digitized binary images by border following, 1985;
 * C.-H. Teh and R. Chin, On the detection of dominant points on digital curves, 1989). Outer borders are 8-connected.
 * In order of their first pixels, row by row.
 * @param simplify - false: every pixel of the border
 */
export function findContours({ width, height, data }: GrayImage, { simplify = true } = {}): Contour[] {
  const stride = width + 2; // an empty frame spares every comparison with the edge
  const marks = new Int8Array(stride * (height + 2));
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) if (data[y * width + x] !== 0) marks[(y + 1) * stride + x + 1] = FRESH;
  const found: Contour[] = [];
  for (let y = 1; y <= height; y++) {
    for (let x = 1, before = 0; x < stride; x++) {
      const mark = marks[y * stride + x]!;
      const hole = mark === 0 && before > 0;
      if (hole || (mark === FRESH && before === 0)) {
        const start = { x: x - 1 - (hole ? 1 : 0), y: y - 1 };
        const codes = follow(marks, stride, y * stride + x - (hole ? 1 : 0), hole);
        found.push({ points: simplify ? dominantPoints(trace(start, codes), codes) : trace(start, codes), hole });
      }
      before = marks[y * stride + x]!;
    }
  }
  return found;
}

/** Follows one border from its first pixel and marks it. @returns its chain codes; none for a single pixel */
function follow(marks: Int8Array, stride: number, start: number, hole: boolean): number[] {
  const step = DX.map((dx, code) => dx + DY[code]! * stride);
  const first = hole ? 0 : 4; // towards the empty pixel that gave the border away
  let code = (first + 7) & 7;
  while (code !== first && marks[start + step[code]!] === 0) code = (code + 7) & 7;
  if (code === first) {
    marks[start] = SEEN_RIGHT;
    return [];
  }
  const last = start + step[code]!; // the border closes when it comes from here
  const codes: number[] = [];
  for (let at = start; ;) {
    const from = code;
    let turned = from + 1;
    while (marks[at + step[turned & 7]!] === 0) turned++;
    code = turned & 7;
    // East was looked at and empty when the search went past code 0.
    if (code - 1 >= 0 && code - 1 < from) marks[at] = SEEN_RIGHT;
    else if (marks[at] === FRESH) marks[at] = SEEN;
    codes.push(code);
    const next = at + step[code]!;
    if (next === start && at === last) return codes;
    at = next;
    code = (code + 4) & 7;
  }
}

/** The pixels that chain codes visit. */
function trace(start: Point, codes: readonly number[]): Point[] {
  let { x, y } = start;
  if (codes.length === 0) return [start];
  return codes.map((code) => {
    const point = { x, y };
    x += DX[code]!;
    y += DY[code]!;
    return point;
  });
}

/** Area of a closed polygon in pixels, by the trapezoid formula. */
export function contourArea(points: readonly Point[]): number {
  let twice = 0;
  points.forEach((a, i) => {
    const b = points[(i + 1) % points.length]!;
    twice += a.x * b.y - b.x * a.y;
  });
  return Math.abs(twice) / 2;
}
