import type { Point } from "./point.ts";
import type { GrayImage } from "./image.ts";

const SHIFT = 16; // edges are followed in 16.16 fixed point
const ONE = 1 << SHIFT;

/**
 * Sets a closed polygon's pixels to 255 as OpenCV 4.7's `drawContours(thickness = -1)` does: even-odd on the lines
 * through the pixels' centres, and its outline besides.
 * @param points - corners inside the picture
 */
export function fillPolygon({ width, height, data }: GrayImage, points: readonly Point[]): void {
  const crossings: number[][] = Array.from({ length: height }, () => []);
  points.forEach((from, i) => {
    const to = points[(i + 1) % points.length]!;
    outline(data, width, from, to);
    if (from.y === to.y) return;
    const [upper, lower] = from.y < to.y ? [from, to] : [to, from];
    const slope = Math.trunc(((lower.x - upper.x) * ONE) / (lower.y - upper.y));
    for (let y = upper.y, x = upper.x * ONE; y < lower.y; y++, x += slope) crossings[y]!.push(x);
  });
  crossings.forEach((row, y) => {
    row.sort((a, b) => a - b);
    for (let i = 1; i < row.length; i += 2) {
      const [first, last] = [Math.ceil(row[i - 1]! / ONE), Math.floor(row[i]! / ONE)];
      if (first <= last) data.fill(255, y * width + first, y * width + last + 1);
    }
  });
}

/** The 8-connected line from one pixel to another, drawn from left to right (Bresenham). */
function outline(data: Uint8Array, width: number, a: Point, b: Point): void {
  const [from, to] = a.x <= b.x ? [a, b] : [b, a];
  const across = to.x - from.x;
  const down = Math.abs(to.y - from.y);
  const rowStep = to.y < from.y ? -width : width;
  const [long, short, major, minor] = down > across ? [down, across, rowStep, 1] : [across, down, 1, rowStep];
  let error = long - 2 * short;
  for (let i = 0, at = from.y * width + from.x; i <= long; i++, at += major) {
    data[at] = 255;
    if (error < 0) {
      at += minor;
      error += 2 * long;
    }
    error -= 2 * short;
  }
}
