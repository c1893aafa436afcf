import { expect, test } from "vitest";
import { Stream } from "../../../src/training/data/random.ts";
import { Canvas, FRAME_HEIGHT, FRAME_WIDTH, type Path } from "../../../src/training/data/draw/raster.ts";
import { capsule, chain, curve, ellipse, turned } from "../../../src/training/data/draw/shapes.ts";

const WHITE = [1, 1, 1] as const;

/** The share of each pixel inside a convex or star-shaped outline, by counting points on a fine lattice (even-odd). */
function counted(path: Path, width: number, height: number): Float64Array {
  const FINE = 24;
  const inside = (x: number, y: number) => {
    let odd = false;
    let a = path.at(-1)!;
    for (const b of path) {
      if (a.y > y !== b.y > y && x < a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x)) odd = !odd;
      a = b;
    }
    return odd;
  };
  return Float64Array.from({ length: width * height }, (_, i) => {
    let count = 0;
    for (let sub = 0; sub < FINE * FINE; sub++) {
      const x = (i % width) + ((sub % FINE) + 0.5) / FINE;
      const y = Math.floor(i / width) + (Math.floor(sub / FINE) + 0.5) / FINE;
      if (inside((x * FRAME_WIDTH) / width, (y * FRAME_HEIGHT) / height)) count++;
    }
    return count / FINE ** 2;
  });
}

const [W, H] = [24, 32];
const levels = (canvas: Canvas) => Float64Array.from({ length: W * H }, (_, i) => canvas.picture().data[3 * i]! / 255);

test.each([
  ["ellipse", ellipse({ x: 190, y: 250 }, 90, 140, 0.4)],
  ["small ellipse inside one pixel", ellipse({ x: 200.5, y: 248.5 }, 3, 4)],
  ["half outside on the left", ellipse({ x: 5, y: 100 }, 80, 60)],
  ["half outside on the right and below", ellipse({ x: 380, y: 500 }, 80, 60)],
  ["capsule", capsule({ x: 60, y: 60, radius: 30 }, { x: 300, y: 420, radius: 12 })],
  [
    "slanting needle",
    turned([
      { x: 3, y: 5 },
      { x: 380, y: 470 },
      { x: 382, y: 478 },
    ]),
  ],
  [
    "curve",
    curve([
      { x: 50, y: 50 },
      { x: 330, y: 90 },
      { x: 210, y: 260 },
      { x: 300, y: 460 },
      { x: 40, y: 400 },
    ]),
  ],
])("covers each pixel by its share: %s", (_, path) => {
  const canvas = new Canvas(W, H);
  canvas.fill([path], WHITE);
  const [mine, right] = [levels(canvas), counted(path, W, H)];
  const worst = Math.max(...mine.map((value, i) => Math.abs(value - right[i]!)));
  expect(worst).toBeLessThan(0.025); // the lattice's own error, and half a level
});

test("what one shape summed does not reach the next", () => {
  const paths = [
    ellipse({ x: -300, y: 100 }, 80, 60),
    ellipse({ x: 700, y: 100 }, 80, 60),
    ellipse({ x: 380, y: -2 }, 30, 9),
  ];
  const [once, after] = [new Canvas(W, H), new Canvas(W, H)];
  for (const path of paths) after.fill([path], [0, 0, 0]);
  for (const canvas of [once, after]) canvas.fill([ellipse({ x: 190, y: 250 }, 90, 140)], WHITE);
  expect(after.picture().data).toEqual(once.picture().data);
});

test("several outlines are one shape where they overlap", () => {
  const canvas = new Canvas(W, H);
  const rings = [
    { x: 80, y: 80, radius: 30 },
    { x: 200, y: 250, radius: 30 },
    { x: 90, y: 420, radius: 30 },
  ];
  canvas.fill(chain(rings), WHITE, { opacity: 0.5 });
  expect(Math.max(...levels(canvas))).toBeCloseTo(0.5, 2);
});

test("labels: what covers half a pixel; the watched label wherever it is seen at all, and nowhere once it is hidden", () => {
  const canvas = new Canvas(W, H, { watched: 4 });
  const cell = FRAME_WIDTH / W;
  const upTo = (x: number): Path =>
    turned([
      { x: 0, y: 0 },
      { x, y: 0 },
      { x, y: FRAME_HEIGHT },
      { x: 0, y: FRAME_HEIGHT },
    ]);
  canvas.fill([upTo(5.3 * cell)], WHITE, { label: 7 });
  canvas.fill([upTo(2.1 * cell)], WHITE, { label: 4 });
  canvas.fill([upTo(1 * cell)], WHITE, { label: 9 });
  expect([...canvas.labels().data.subarray(0, 7)]).toEqual([9, 4, 4, 7, 7, 0, 0]);
});

test("streams are their words' own, even and apart", () => {
  const first = (...words: number[]) => Array.from({ length: 4 }, () => 0).map(() => new Stream(...words).uniform());
  expect(new Set(first(1, 2, 3)).size).toBe(1);
  const starts = Array.from({ length: 200 }, (_, i) => new Stream(5, i).uniform());
  expect(new Set(starts).size).toBe(200);
  const stream = new Stream(1);
  const values = Array.from({ length: 20_000 }, () => stream.uniform());
  const mean = values.reduce((a, b) => a + b) / values.length;
  expect(mean).toBeGreaterThan(0.49);
  expect(mean).toBeLessThan(0.51);
  const counts = new Array<number>(10).fill(0);
  for (const value of values) counts[Math.floor(value * 10)]!++;
  for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(200); // 4.7 standard deviations
});
