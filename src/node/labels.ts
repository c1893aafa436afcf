import { readFile } from "node:fs/promises";
import { inflateSync } from "node:zlib";
import { InputError } from "../util/errors.ts";
import type { GrayImage } from "../vision/image.ts";
import { checkLabelNumbers, labelsOfColours } from "../vision/labels.ts";
import { readImage } from "./images.ts";

/**
 * A label map: of a grey PNG the levels, of one with a palette the colours where all are the usual ones and else the
 * indices, of any other picture the usual palette's colours.
 * @returns labels 0…18
 * @throws InputError in one line that names the file: as `readImage`, and for what is no label
 */
export async function readLabels(path: string): Promise<GrayImage> {
  const image = await readImage(path); // says what is wrong with a damaged file
  const file = await readFile(path);
  if (isPng(file) && file[DEPTH] === 16)
    throw new InputError(path, "is no label map: it has 16 bits a pixel, labels 8");
  const indexed = readIndices(file);
  const levels = indexed?.palette === false ? indexed.image : undefined;
  const labels = levels ?? labelsOfColours(image) ?? indexed?.image;
  return checkLabelNumbers(path, labels);
}

/**
 * The numbers that a grey or paletted PNG stores, whatever its colours: label maps of other sets of labels.
 * @param count - how many labels there are
 * @throws InputError in one line that names the file: as `readImage`, for other pictures, and for larger numbers
 */
export async function readStoredLabels(path: string, count: number): Promise<GrayImage> {
  await readImage(path); // says what is wrong with a damaged file
  const labels = readIndices(await readFile(path))?.image;
  if (!labels) throw new InputError(path, "is no label map: not a grey or paletted PNG");
  const wrong = labels.data.findIndex((label) => label >= count);
  if (wrong >= 0) throw new InputError(path, `is no label map: ${labels.data[wrong]}, labels are 0 to ${count - 1}`);
  return labels;
}

/** Grey levels or palette indices of a PNG as they are stored, which image libraries turn into colours. */
interface Indexed {
  readonly image: GrayImage;
  readonly palette: boolean;
}

const [GREY, PALETTED] = [0, 3];
const SIGNATURE = 8;
const DEPTH = 24; // where a PNG says how many bits a sample has

const isPng = (file: Uint8Array): boolean => new DataView(file.buffer, file.byteOffset).getUint32(0) === 0x89504e47;

/** undefined for other pictures, and for interlaced and 16-bit ones. The file was decoded without complaint before. */
function readIndices(file: Uint8Array): Indexed | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (!isPng(file)) return undefined;
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [depth, colour, interlaced] = [file[DEPTH]!, file[25]!, file[28]!];
  if ((colour !== GREY && colour !== PALETTED) || depth > 8 || interlaced !== 0) return undefined;
  const parts: Uint8Array[] = [];
  for (let at = SIGNATURE; at + 12 <= file.length;) {
    const length = view.getUint32(at);
    if (view.getUint32(at + 4) === 0x49444154) parts.push(file.subarray(at + 8, at + 8 + length)); // IDAT
    at += 12 + length;
  }
  const rowBytes = Math.ceil((width * depth) / 8);
  const packed = inflateSync(Buffer.concat(parts), { maxOutputLength: (rowBytes + 1) * height + 1024 });
  const rows = unfilter(packed, rowBytes, height);
  const data = new Uint8Array(width * height);
  const levels = (1 << depth) - 1;
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const bit = x * depth;
      data[i] = (rows[y * rowBytes + (bit >> 3)]! >> (8 - depth - (bit & 7))) & levels;
    }
  return { image: { width, height, data }, palette: colour === PALETTED };
}

/** Undoes the filters of PNG's rows (PNG 3rd edition, 9.2), of pixels of at most one byte. */
function unfilter(packed: Uint8Array, rowBytes: number, height: number): Uint8Array {
  const out = new Uint8Array(rowBytes * height);
  for (let y = 0; y < height; y++) {
    const filter = packed[y * (rowBytes + 1)]!;
    for (let x = 0; x < rowBytes; x++) {
      const at = y * rowBytes + x;
      const left = x > 0 ? out[at - 1]! : 0;
      const above = y > 0 ? out[at - rowBytes]! : 0;
      const corner = x > 0 && y > 0 ? out[at - rowBytes - 1]! : 0;
      out[at] = packed[y * (rowBytes + 1) + 1 + x]! + predict(filter, left, above, corner);
    }
  }
  return out;
}

function predict(filter: number, left: number, above: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return above;
  if (filter === 3) return (left + above) >> 1;
  if (filter !== 4) return 0;
  const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? above : corner;
}
