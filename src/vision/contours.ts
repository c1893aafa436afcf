import type { GrayImage } from "./image.ts";
import { dominantPoints } from "./dominant.ts";
import type { Point } from "./point.ts";

/** A closed border; `hole`: of a hole, its points still lie on the mask. */
export interface Contour {
  readonly points: readonly Point[];
  readonly hole: boolean;
}

/** Chain codes: 0 is east, then counter-clockwise on the screen; y points down. */
const DX = [1, 1, 0, -1, -1, -1, 0, 1] as const;
const DY = [0, -1, -1, -1, 0, 1, 1, 1] as const;

/** Marks of the border follower on pixels. */
const SEEN = 1;
const SEEN_RIGHT = 2; // and the pixel to its right was found another: no hole's border begins there again

/** What borders are followed on: a value by pixel within a frame of zeros, which spares comparisons with the edge. */
export interface Field {
  readonly stride: number;
  readonly values: Uint8Array;
  readonly marks: Uint8Array;
}

/** A picture as a field without marks. */
export function fieldOf({ width, height, data }: GrayImage): Field {
  const stride = width + 2;
  const values = new Uint8Array(stride * (height + 2));
  for (let y = 0; y < height; y++) values.set(data.subarray(y * width, (y + 1) * width), (y + 1) * stride + 1);
  return { stride, values, marks: new Uint8Array(values.length) };
}

/**
 * Every border of a mask as `findContours(RETR_CCOMP, CHAIN_APPROX_TC89_L1)` of OpenCV 4.7 finds and simplifies it
 * (S. Suzuki and K. Abe, Topological structural analysis of digitized binary images by border following, 1985;
 * C.-H. Teh and R. Chin, On the detection of dominant points on digital curves, 1989). Outer borders are 8-connected.
 * In order of their first pixels, row by row.
 * @param simplify - false: every pixel of the border
 */
export function findContours({ width, height, data }: GrayImage, { simplify = true } = {}): Contour[] {
  const field = fieldOf({ width, height, data: data.map((value) => (value === 0 ? 0 : 1)) });
  const { stride, values, marks } = field;
  const found: Contour[] = [];
  for (let y = 1; y <= height; y++) {
    for (let x = 1; x < stride; x++) {
      const at = y * stride + x;
      const inside = values[at] !== 0;
      if (inside === (values[at - 1] !== 0)) continue;
      const begins = inside ? marks[at] === 0 : marks[at - 1] !== SEEN_RIGHT;
      if (begins) found.push(contourFrom(field, inside ? at : at - 1, !inside, simplify));
    }
  }
  return found;
}

/** Follows and marks the border that begins at a pixel. */
export function contourFrom(field: Field, start: number, hole: boolean, simplify: boolean): Contour {
  const codes = follow(field, start, hole);
  const pixels = trace({ x: (start % field.stride) - 1, y: Math.floor(start / field.stride) - 1 }, codes);
  return { points: simplify ? dominantPoints(pixels, codes) : pixels, hole };
}

/** Follows one border from its first pixel and marks it. @returns its chain codes; none for a single pixel */
function follow({ stride, values, marks }: Field, start: number, hole: boolean): number[] {
  const step = DX.map((dx, code) => dx + DY[code]! * stride);
  const own = values[start]!;
  const first = hole ? 0 : 4; // towards the pixel that gave the border away
  let code = (first + 7) & 7;
  while (code !== first && values[start + step[code]!] !== own) code = (code + 7) & 7;
  if (code === first) {
    marks[start] = SEEN_RIGHT;
    return [];
  }
  const last = start + step[code]!; // the border closes when it comes from here
  const codes: number[] = [];
  for (let at = start; ;) {
    const from = code;
    let turned = from + 1;
    while (values[at + step[turned & 7]!] !== own) turned++;
    code = turned & 7;
    // East was looked at and found another when the search went past code 0.
    if (code - 1 >= 0 && code - 1 < from) marks[at] = SEEN_RIGHT;
    else if (marks[at] === 0) marks[at] = SEEN;
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
