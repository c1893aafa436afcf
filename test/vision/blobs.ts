import type { GrayImage } from "../../src/vision/image.ts";

/** Numbers in 0…1 that are the same on every machine (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = (seed * 0x9e3779b9) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A mask of some discs and boxes, some cut out again, now and then with noise; parts reach over the edges. */
export function blob(seed: number): GrayImage {
  const random = randomNumbers(seed);
  const between = (least: number, most: number) => Math.floor(least + random() * (most - least + 1));
  const [width, height] = [between(8, 70), between(8, 70)];
  const data = new Uint8Array(width * height);
  for (let part = between(1, 9); part > 0; part--) {
    const [cx, cy, rx, ry] = [between(0, width), between(0, height), between(1, width / 2), between(1, height / 2)];
    const [round, value] = [random() < 0.6, random() < 0.7 ? 255 : 0];
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const [dx, dy] = [(x - cx) / rx, (y - cy) / ry];
        if (round ? dx * dx + dy * dy <= 1 : Math.max(Math.abs(dx), Math.abs(dy)) <= 1) data[y * width + x] = value;
      }
  }
  const noise = seed % 3 === 0 ? random() * 0.3 : 0;
  for (let i = 0; i < data.length; i++) if (random() < noise) data[i] = 255 - data[i]!;
  return { width, height, data };
}
