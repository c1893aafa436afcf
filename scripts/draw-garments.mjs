#!/usr/bin/env node
// Draws the pictures of examples/images that are not photographs: three flat garments, and the mask of the clothes on
// the astronaut's photograph. Usage: node scripts/draw-garments.mjs [FOLDER]
//
// Shapes are polygons filled by the even-odd rule at four times the size, then box-filtered.
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const WIDTH = 384;
const HEIGHT = 512;
const FINE = 4;

/** Whether (x, y) lies inside a closed polygon of [x, y] points. */
function inside(polygon, x, y) {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

/** Points of a smooth closed curve through the given ones (Catmull-Rom). */
function smooth(points, pieces = 8) {
  const n = points.length;
  const at = (i) => points[((i % n) + n) % n];
  return points.flatMap((_, i) =>
    Array.from({ length: pieces }, (_, k) => {
      const t = k / pieces;
      return [0, 1].map((axis) => {
        const [a, b, c, d] = [-1, 0, 1, 2].map((step) => at(i + step)[axis]);
        return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t ** 3);
      });
    }),
  );
}

/** The left half of an outline, from the top middle down, completed by its mirror image. */
const mirrored = (half) => [...half, ...half.map(([x, y]) => [WIDTH - x, y]).reverse()];

/** Colours a picture by `colour(x, y)`, where it is undefined by `background`. */
function paint(colour, background) {
  const pixels = Buffer.alloc(WIDTH * HEIGHT * 3);
  for (let y = 0; y < HEIGHT; y++)
    for (let x = 0; x < WIDTH; x++) {
      const sum = [0, 0, 0];
      for (let s = 0; s < FINE * FINE; s++) {
        const [fx, fy] = [x + ((s % FINE) + 0.5) / FINE, y + (Math.floor(s / FINE) + 0.5) / FINE];
        const rgb = colour(fx, fy) ?? background;
        for (let c = 0; c < 3; c++) sum[c] += rgb[c];
      }
      for (let c = 0; c < 3; c++) pixels[(y * WIDTH + x) * 3 + c] = Math.round(sum[c] / FINE ** 2);
    }
  return sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
}

/** A colour made darker in soft vertical folds and towards the sides. */
function fold([r, g, b], x, y) {
  const shade = 0.93 + 0.05 * Math.sin(x / 17 + 1.5 * Math.sin(y / 60)) - 0.1 * Math.abs(x / WIDTH - 0.5);
  return [r * shade, g * shade, b * shade];
}

const WHITE = [246, 246, 244];

const shirt = mirrored([
  [150, 92],
  [112, 104],
  [62, 138],
  [22, 236],
  [74, 262],
  [100, 214],
  [104, 424],
  [110, 432],
]);
const shirtNeck = smooth([
  [150, 88],
  [192, 84],
  [234, 88],
  [222, 118],
  [192, 130],
  [162, 118],
]);
function stripedShirt(x, y) {
  if (!inside(shirt, x, y) || inside(shirtNeck, x, y)) return undefined;
  return fold(y % 44 < 22 ? [28, 66, 128] : [236, 232, 220], x, y);
}

const trousers = [
  [118, 52],
  [266, 52],
  [276, 150],
  [284, 468],
  [216, 472],
  [196, 196],
  [188, 196],
  [168, 472],
  [100, 468],
  [108, 150],
];
function plainTrousers(x, y) {
  if (!inside(trousers, x, y)) return undefined;
  if (y < 70) return fold([62, 70, 62], x, y);
  return fold(Math.abs(Math.abs(x - 192) - 52) < 1.5 ? [70, 78, 70] : [92, 104, 92], x, y);
}

const dress = mirrored([
  [168, 44],
  [142, 46],
  [138, 96],
  [128, 150],
  [144, 226],
  [96, 380],
  [66, 474],
]);
const dressNeck = smooth([
  [168, 36],
  [192, 30],
  [216, 36],
  [212, 70],
  [192, 88],
  [172, 70],
]);
function dottedDress(x, y) {
  if (!inside(dress, x, y) || inside(dressNeck, x, y)) return undefined;
  const row = Math.floor(y / 26);
  const [dx, dy] = [((x + (row % 2) * 17) % 34) - 17, (y % 26) - 13];
  return fold(Math.hypot(dx, dy) < 5.5 ? [248, 238, 214] : [176, 38, 58], x, y);
}

/** The suit on astronaut.png, drawn by eye around it; helmet, neck ring and face stay outside. */
const suit = smooth([
  [92, 206],
  [54, 234],
  [24, 296],
  [2, 376],
  [-6, 470],
  [10, 530],
  [120, 540],
  [262, 530],
  [258, 450],
  [290, 380],
  [342, 344],
  [342, 290],
  [314, 248],
  [286, 240],
  [262, 282],
  [214, 296],
  [160, 286],
  [120, 256],
]);
const mask = (x, y) => (inside(suit, x, y) ? [255, 255, 255] : undefined);

const folder = process.argv[2] ?? fileURLToPath(new URL("../examples/images", import.meta.url));
mkdirSync(folder, { recursive: true });
for (const [name, colour] of Object.entries({
  "striped-shirt": stripedShirt,
  trousers: plainTrousers,
  "dotted-dress": dottedDress,
}))
  await paint(colour, WHITE).png({ compressionLevel: 9 }).toFile(`${folder}/${name}.png`);
await paint(mask, [0, 0, 0])
  .toColourspace("b-w")
  .threshold(128)
  .png({ compressionLevel: 9 })
  .toFile(`${folder}/astronaut-mask.png`);
