import type { Point } from "./point.ts";
import { fillPieSlice, fillSpan } from "./ellipse.ts";
import type { GrayImage } from "./image.ts";

const float = Math.fround; // Pillow's polygons are followed in single precision

/** To the nearest integer; halves away from zero, or towards it. */
const roundUp = (value: number) => Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
const roundDown = (value: number) => Math.sign(value) * Math.ceil(Math.abs(value) - 0.5);

/** A corner of a polygon on whole pixels. */
type Corner = readonly [x: number, y: number];

/** Even-odd fill with both ends of every row, as Pillow 9.4's polygons; rows outside the picture are left out. */
function fillCorners(image: GrayImage, corners: readonly Corner[]): void {
  const edges = corners.map((from, i) => {
    const to = corners[(i + 1) % corners.length]!;
    const [top, bottom] = [Math.min(from[1], to[1]), Math.max(from[1], to[1])];
    if (top === bottom) fillSpan(image, top, Math.min(from[0], to[0]), Math.max(from[0], to[0]));
    return { x: from[0], y: from[1], slope: float((to[0] - from[0]) / (to[1] - from[1])), top, bottom };
  });
  const slanted = edges.filter(({ top, bottom }) => top < bottom);
  const last = Math.min(image.height, Math.max(...edges.map(({ bottom }) => bottom)));
  for (let y = Math.max(0, Math.min(...edges.map(({ top }) => top))); y <= last; y++) {
    const crossings: number[] = [];
    for (const { x, y: from, slope, top, bottom } of slanted) {
      if (y < top || y > bottom) continue;
      const at = float(float((y - from) * slope) + x);
      crossings.push(at);
      if (y === bottom && y < last) crossings.push(at); // so that a corner within the polygon does not swap its sides
    }
    crossings.sort((a, b) => a - b);
    for (let i = 1; i < crossings.length; i += 2)
      fillSpan(image, y, roundUp(crossings[i - 1]!), roundDown(crossings[i]!));
  }
}

/** One straight piece without ends, as a polygon whose corners lie on whole pixels. */
function drawSegment(image: GrayImage, from: Point, to: Point, width: number): void {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  if (dx === 0 && dy === 0) return fillSpan(image, from.y, from.x, from.x);
  const length = Math.hypot(dx, dy);
  const half = (width - 1) / 2;
  const [more, less] = [roundUp(half) / length, roundDown(half) / length];
  const [left, right] = [roundDown(less * dy), roundDown(more * dy)];
  const [up, down] = [roundDown(less * dx), roundDown(more * dx)];
  fillCorners(image, [
    [from.x - left, from.y + down],
    [to.x - left, to.y + down],
    [to.x + right, to.y - up],
    [from.x + right, from.y - up],
  ]);
}

const degrees = (from: Point, to: Point) => {
  const angle = Math.atan2(to.x - from.x, from.y - to.y) * (180 / Math.PI);
  return angle < 0 ? angle + 360 : angle;
};

/** Rounds the corner between two pieces: a slice of a disc, and a thin line over the seam that rounding may leave. */
function drawJoint(image: GrayImage, before: Point, at: Point, after: Point, width: number): void {
  const [first, second] = [degrees(before, at), degrees(at, after)];
  if (first === second) return;
  const flipped = (second > first && second - 180 > first) || (second < first && second + 180 > first);
  const radius = width / 2 - 1;
  const box = {
    x0: Math.trunc(at.x - radius),
    y0: Math.trunc(at.y - radius),
    x1: Math.trunc(at.x + radius),
    y1: Math.trunc(at.y + radius),
  };
  const turn = flipped ? 90 : -90;
  const [start, end] = flipped ? [second, first] : [first, second];
  fillPieSlice(image, box, start + turn - 90, end + turn - 90);
  if (width <= 8) return;
  const rim = (angle: number): Point => {
    const radians = ((angle + turn - 90) * Math.PI) / 180;
    return { x: at.x + Math.trunc(radius * Math.cos(radians)), y: at.y + Math.trunc(radius * Math.sin(radians)) };
  };
  drawSegment(image, rim(first), at, 3);
  drawSegment(image, at, rim(second), 3);
}

/**
 * A line of 255 through points on whole pixels, its corners rounded: every pixel of Pillow 9.4's
 * `ImageDraw.line(points, width=width, joint="curve")`. It may leave the picture.
 * @param width - in pixels, at least 5
 */
export function drawThickLine(image: GrayImage, points: readonly Point[], width: number): void {
  for (let i = 1; i < points.length; i++) drawSegment(image, points[i - 1]!, points[i]!, width);
  for (let i = 1; i + 1 < points.length; i++) drawJoint(image, points[i - 1]!, points[i]!, points[i + 1]!, width);
}
