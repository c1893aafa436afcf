import type { Point } from "../../../vision/point.ts";
import type { Path } from "./raster.ts";

/** A place on a limb's axis and how far the limb reaches to either side of it. */
export interface Ring extends Point {
  readonly radius: number;
}

export const lerp = (a: number, b: number, t: number): number => a + (b - a) * t;
export const between = (a: Point, b: Point, t: number): Point => ({ x: lerp(a.x, b.x, t), y: lerp(a.y, b.y, t) });
export const distance = (a: Point, b: Point): number => Math.sqrt((a.x - b.x) ** 2 + (a.y - b.y) ** 2);
/** The smooth step from 0 at `low` to 1 at `high`. */
export function smooth(low: number, high: number, x: number): number {
  const t = Math.min(1, Math.max(0, (x - low) / (high - low)));
  return t * t * (3 - 2 * t);
}

/** An ellipse, turned by `angle`. Every outline of this file turns the same way, so that several make one shape. */
export function ellipse(centre: Point, rx: number, ry: number, angle = 0, corners = 36): Path {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return Array.from({ length: corners }, (_, i) => {
    const turn = (2 * Math.PI * i) / corners;
    const [x, y] = [rx * Math.cos(turn), ry * Math.sin(turn)];
    return { x: centre.x + cos * x - sin * y, y: centre.y + sin * x + cos * y };
  });
}

/** Twice the signed area. */
function area(path: Path): number {
  let sum = 0;
  let last = path.at(-1)!;
  for (const point of path) {
    sum += last.x * point.y - point.x * last.y;
    last = point;
  }
  return sum;
}

/** The outline, turning as those of this file do. */
export const turned = (path: Path): Path => (area(path) < 0 ? [...path].reverse() : path);

/** A smooth closed curve through the points (Catmull and Rom 1974). */
export function curve(points: readonly Point[], pieces = 6): Path {
  const count = points.length;
  const at = (i: number) => points[(i + count) % count]!;
  const path = points.flatMap((p1, i) => {
    const [p0, p2, p3] = [at(i - 1), at(i + 1), at(i + 2)];
    return Array.from({ length: pieces }, (_, step) => {
      const t = step / pieces;
      const spline = (a: number, b: number, c: number, d: number) =>
        b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
      return { x: spline(p0.x, p1.x, p2.x, p3.x), y: spline(p0.y, p1.y, p2.y, p3.y) };
    });
  });
  return turned(path);
}

/** A line with round ends, thicker at one end than at the other perhaps. */
export function capsule(a: Ring, b: Ring): Path {
  const angle = Math.atan2(b.y - a.y, b.x - a.x);
  const cap = ({ x, y, radius }: Ring, from: number) =>
    Array.from({ length: 9 }, (_, i) => {
      const turn = from + (Math.PI * i) / 8;
      return { x: x + radius * Math.cos(turn), y: y + radius * Math.sin(turn) };
    });
  return turned([...cap(a, angle + Math.PI / 2), ...cap(b, angle - Math.PI / 2)]);
}

/** A limb along rings: round at every one of them. */
export const chain = (rings: readonly Ring[]): Path[] => rings.slice(1).map((ring, i) => capsule(rings[i]!, ring));

/** A line through points. */
export const stroke = (points: readonly Point[], width: number): Path[] =>
  chain(points.map(({ x, y }) => ({ x, y, radius: width / 2 })));

/** The outline as a closed line. */
export const outline = (path: Path, width: number): Path[] => stroke([...path, path[0]!], width);
