// Heat maps and fields as the body network would return them for drawn figures.

type Point = readonly [x: number, y: number];
/** 18 joints in pixels of 384x512, undefined where hidden. */
export type Figure = readonly (Point | undefined)[];

const [WIDTH, HEIGHT, STEP] = [18, 23, 8 / 0.359375];

const LIMBS = "1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17 2-16 5-17";
const FIELD = [12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26];

const UPRIGHT: readonly Point[] = [
  [0, -180],
  [0, -120],
  [-55, -115],
  [-80, -20],
  [-90, 60],
  [55, -115],
  [80, -20],
  [90, 60],
  [-35, 40],
  [-38, 130],
  [-40, 215],
  [35, 40],
  [38, 130],
  [40, 215],
  [-15, -200],
  [15, -200],
  [-35, -185],
  [35, -185],
];

/** Somebody who stands facing the camera, about 415 · size pixels high around a centre. */
export const figure = (x: number, y: number, size = 1, hidden: readonly number[] = []): Figure =>
  UPRIGHT.map(([dx, dy], i) => (hidden.includes(i) ? undefined : [x + size * dx, y + size * dy]));

/** Maps [h, w, c] that show the figures; `strength` is the height of the joints' peaks. */
export function drawMaps(figures: readonly Figure[], strength = 1): { heat: Float32Array; paf: Float32Array } {
  const heat = new Float32Array(WIDTH * HEIGHT * 19);
  const paf = new Float32Array(WIDTH * HEIGHT * 38);
  const cell = ([x, y]: Point): Point => [(x + 0.5) / STEP - 0.5, (y + 0.5) / STEP - 0.5];
  for (const points of figures) {
    for (const [joint, point] of points.entries()) if (point) drawPeak(heat, joint, cell(point), strength);
    for (const [limb, pair] of LIMBS.split(" ").entries()) {
      const [from, to] = pair.split("-").map((joint) => points[Number(joint)]);
      if (from && to) drawLimb(paf, FIELD[limb]!, cell(from), cell(to));
    }
  }
  return { heat, paf };
}

function drawPeak(heat: Float32Array, joint: number, [x, y]: Point, strength: number): void {
  for (let row = 0; row < HEIGHT; row++)
    for (let column = 0; column < WIDTH; column++) {
      const at = (row * WIDTH + column) * 19 + joint;
      heat[at] = Math.max(heat[at]!, strength * Math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * 0.8 ** 2)));
    }
}

function drawLimb(paf: Float32Array, channel: number, [ax, ay]: Point, [bx, by]: Point): void {
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const [dx, dy] = [(bx - ax) / length, (by - ay) / length];
  for (let row = 0; row < HEIGHT; row++)
    for (let column = 0; column < WIDTH; column++) {
      const along = (column - ax) * dx + (row - ay) * dy;
      const across = Math.abs((column - ax) * dy - (row - ay) * dx);
      if (along < -1 || along > length + 1 || across > 1.2) continue;
      const at = (row * WIDTH + column) * 38 + channel;
      paf[at] = dx;
      paf[at + 1] = dy;
    }
}
