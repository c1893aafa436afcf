import type { GrayImage } from "./image.ts";

/** Corners in whole pixels, both inside. */
export interface Corners {
  readonly x0: number;
  readonly y0: number;
  readonly x1: number;
  readonly y1: number;
}

// Pillow's ellipses live on a grid of half pixels around the centre, so that even and odd diameters look alike: a
// quarter of an a x b ellipse has points of a's parity across and of b's parity down.

/** By row (y = b % 2, then in steps of 2): the leftmost and rightmost point of the quarter's thin outline. */
interface Quarter {
  readonly left: readonly number[];
  readonly right: readonly number[];
}

/** Walks from the right end to the lower end, each time to the neighbour nearest to the curve. */
function quarter(a: number, b: number): Quarter {
  const [left, right]: [number[], number[]] = [[], []];
  if (a < 0 || b < 0) return { left, right };
  const miss = (x: number, y: number) => Math.abs(a * a * y * y + b * b * x * x - a * a * b * b);
  let [x, y] = [a, b % 2];
  for (;;) {
    const row = y >> 1;
    right[row] ??= x;
    left[row] = x;
    if (x === a % 2 && y === b) return { left, right };
    let [nextX, nextY] = [x, y + 2];
    if (x > 1) {
      if (miss(x - 2, y + 2) < miss(nextX, nextY)) nextX = x - 2;
      if (miss(x - 2, y) < miss(nextX, nextY)) [nextX, nextY] = [x - 2, y];
    }
    [x, y] = [nextX, nextY];
  }
}

/** One row of the right half: from `left` to `right`, `y` below the centre. */
type Visit = (y: number, left: number, right: number) => void;

/** Visits both halves of every row of a ring, `width` pixels thick. */
function eachSpan(a: number, b: number, width: number, visit: Visit): void {
  const outer = quarter(a, b).right;
  const inner = quarter(a - 2 * (width - 1), b - 2 * (width - 1)).left;
  outer.forEach((right, row) => {
    const y = 2 * row + (b % 2);
    const left = inner[row] ?? a % 2;
    for (const below of y > 0 ? [-y, y] : [y]) {
      visit(below, -right, -left);
      if (left > 0 || left < right) visit(below, left === 0 ? 2 : left, right);
    }
  });
}

/** Sets a row's pixels, both ends inside, as far as they are in the picture. */
export function fillSpan({ width, height, data }: GrayImage, y: number, x0: number, x1: number): void {
  if (y < 0 || y >= height) return;
  const [from, to] = [Math.max(0, x0), Math.min(width - 1, x1)];
  if (from <= to) data.fill(255, y * width + from, y * width + to + 1);
}

/** A closed ring inside a box, as Pillow 9.4's `arc(box, 0, 360, width)`; half the box's width gives a disc. */
export function drawRing(image: GrayImage, { x0, y0, x1, y1 }: Corners, width: number): void {
  const [a, b] = [x1 - x0, y1 - y0];
  eachSpan(a, b, width, (y, left, right) =>
    fillSpan(image, y0 + ((y + b) >> 1), x0 + ((left + a) >> 1), x0 + ((right + a) >> 1)),
  );
}

/** Points with x·a + y·b ≥ 0. */
interface HalfPlane {
  readonly a: number;
  readonly b: number;
}
type Span = readonly [from: number, to: number];

const EPSILON = 1e-9;
const roundHalfUp = (value: number) => Math.sign(value) * Math.floor(Math.abs(value) + 0.5);

/** The part of a row inside a half plane. */
function clip([from, to]: Span, y: number, { a, b }: HalfPlane): Span | undefined {
  if (Math.abs(a) < EPSILON) return b * y < -EPSILON ? undefined : [from, to];
  const border = -(b * y) / a;
  const left = a * from + b * y < EPSILON ? roundHalfUp(Math.max(from, border)) : from;
  const right = a * to + b * y < EPSILON ? roundHalfUp(Math.min(to, border)) : to;
  return left <= right ? [left, right] : undefined;
}

const float = Math.fround; // Pillow keeps angles in single precision

/** 0 ≤ start < 360, start ≤ end ≤ start + 360. */
function normalise(start: number, end: number): readonly [start: number, end: number] {
  if (float(end - start) >= 360) return [0, 360];
  const from = float((start < 0 ? 360 - (-start % 360) : start) % 360);
  const to = float(from + ((end < from ? 360 - (float(from - end) % 360) : float(end - from)) % 360));
  return [from, to];
}

/**
 * A filled slice of the disc inside a box, clockwise from one angle to the other as Pillow 9.4's `pieslice`.
 * @param start - degrees from east, y pointing down
 */
export function fillPieSlice(image: GrayImage, { x0, y0, x1, y1 }: Corners, start: number, end: number): void {
  const [a, b] = [x1 - x0, y1 - y0];
  const [from, to] = normalise(float(start), float(end));
  if (a < 0 || b < 0 || from === to) return;
  const at = (degrees: number) => {
    const angle = (degrees * Math.PI) / 180;
    return { x: a * Math.cos(angle), y: b * Math.sin(angle) };
  };
  const [begin, finish] = [at(from), at(to)];
  const whole = to === from + 360;
  const sides: readonly HalfPlane[] = [
    { a: -begin.y, b: begin.x },
    { a: finish.y, b: -finish.x },
  ];
  const angle = float(to - from);
  const middle = { a: (begin.x + finish.x) / 2, b: (begin.y + finish.y) / 2 };
  const planes = angle < 90 ? [...sides, middle] : sides;
  const paint = (y: number, [left, right]: Span) =>
    fillSpan(image, y0 + ((y + b) >> 1), x0 + ((left + a) >> 1), x0 + ((right + a) >> 1));
  eachSpan(a, b, a + b, (y, left, right) => {
    const span: Span = [left, right];
    if (whole) return paint(y, span);
    const parts = planes.map((plane) => clip(span, y, plane));
    if (angle >= 180) return parts.forEach((part) => part && paint(y, part));
    const common = parts.reduce((all, part) => all && part && [Math.max(all[0], part[0]), Math.min(all[1], part[1])]);
    if (common && common[0] <= common[1]) paint(y, common);
  });
}
