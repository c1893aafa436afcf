import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { drawThickLine } from "../../src/vision/draw.ts";
import { drawRing } from "../../src/vision/ellipse.ts";
import type { GrayImage } from "../../src/vision/image.ts";
import { fixture } from "../helpers.ts";

type Pair = readonly [x: number, y: number];
interface Pillow {
  readonly lines: readonly { readonly points: readonly Pair[]; readonly width: number; readonly crc: number }[];
  readonly rings: readonly {
    readonly box: readonly [number, number, number, number];
    readonly width: number;
    readonly crc: number;
  }[];
}

/** Checksums of what Pillow 9.4 draws: lines of three points that turn sharply, stop and leave the picture. */
const { lines, rings } = JSON.parse(readFileSync(fixture("draw.json"), "utf8")) as Pillow;

const canvas = (): GrayImage => ({ width: 192, height: 256, data: new Uint8Array(192 * 256) });

function crc32(bytes: Uint8Array): number {
  let c = ~0;
  for (const byte of bytes) {
    c ^= byte;
    for (let bit = 0; bit < 8; bit++) c = (c >>> 1) ^ (c & 1 ? 0xedb88320 : 0);
  }
  return ~c >>> 0;
}

test("every pixel of Pillow's wide lines with round joints", () => {
  const wrong = lines.filter(({ points, width, crc }) => {
    const image = canvas();
    drawThickLine(
      image,
      points.map(([x, y]) => ({ x, y })),
      width,
    );
    return crc32(image.data) !== crc;
  });
  expect(lines.length).toBe(200);
  expect(wrong).toEqual([]);
});

test("every pixel of Pillow's rings, round or not quite", () => {
  const wrong = rings.filter(({ box: [x0, y0, x1, y1], width, crc }) => {
    const image = canvas();
    drawRing(image, { x0, y0, x1, y1 }, width);
    return crc32(image.data) !== crc;
  });
  expect(rings.length).toBe(60);
  expect(wrong).toEqual([]);
});
