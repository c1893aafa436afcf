import { crc32, deflateSync } from "node:zlib";
import type { GrayImage } from "../../src/vision/image.ts";

export interface IndexedPngOptions {
  readonly colours: readonly (readonly [number, number, number])[];
  /** Bits of an index. */
  readonly depth?: number;
  /** Row filter, 0 to 4. */
  readonly filter?: number;
}

function chunk(type: string, body: Uint8Array): Buffer {
  const named = Buffer.concat([Buffer.from(type, "latin1"), body]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(body.length);
  sum.writeUInt32BE(crc(named));
  return Buffer.concat([length, named, sum]);
}

/** zlib has its own from Node 20.15 on. */
const crc = (bytes: Uint8Array) => crc32(bytes) >>> 0;

/** A PNG with a palette, written independently of any image library: those reorder palettes. */
export function indexedPng({ width, height, data }: GrayImage, { colours, depth = 8, filter = 0 }: IndexedPngOptions) {
  const rowBytes = Math.ceil((width * depth) / 8);
  const rows = new Uint8Array(rowBytes * height);
  data.forEach((index, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    const bit = x * depth;
    rows[y * rowBytes + (bit >> 3)]! |= index << (8 - depth - (bit & 7));
  });
  const at = (x: number, y: number) => (x < 0 || y < 0 ? 0 : rows[y * rowBytes + x]!);
  const packed = new Uint8Array((rowBytes + 1) * height);
  for (let y = 0; y < height; y++) {
    packed[y * (rowBytes + 1)] = filter;
    for (let x = 0; x < rowBytes; x++) {
      const [left, up, corner] = [at(x - 1, y), at(x, y - 1), at(x - 1, y - 1)];
      const nearest = [left, up, corner]
        .map((value) => ({ value, miss: Math.abs(left + up - corner - value) }))
        .reduce((best, one) => (one.miss < best.miss ? one : best)).value;
      const guess = [0, left, up, (left + up) >> 1, nearest][filter]!;
      packed[y * (rowBytes + 1) + 1 + x] = at(x, y) - guess;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, 3, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("PLTE", Uint8Array.from(colours.flat())),
    chunk("IDAT", deflateSync(packed)),
    chunk("IEND", new Uint8Array()),
  ]);
}
