import type { Box } from "./resize.ts";

/** Three bytes. */
export type Colour = readonly [red: number, green: number, blue: number];

/** A colour, and how far another may be from it in any channel to count as the same. */
export interface Background {
  readonly colour: Colour;
  readonly tolerance: number;
}

/** The largest difference of a channel between a pixel and a colour. */
export const distance = (data: Uint8Array, at: number, [red, green, blue]: Colour): number =>
  Math.max(Math.abs(data[at]! - red), Math.abs(data[at + 1]! - green), Math.abs(data[at + 2]! - blue));

/** Each channel's median over pixels that begin at these bytes. */
export function medianColour(data: Uint8Array, pixels: ArrayLike<number>): Colour {
  const middle = (channel: number) => Uint8Array.from(pixels, (at) => data[at + channel]!).sort()[pixels.length >> 1]!;
  return [middle(0), middle(1), middle(2)];
}

/**
 * Fills what lies around `inner` by carrying the picture's edges outwards. A border pixel d pixels away is the average
 * of the edge pixels within d of its foot, so the border begins with the edge's own colours (no seam), no pixel drags a
 * streak behind it, and far out only the background is left: the further an edge pixel is from the edge's median, the
 * less it weighs.
 * @param data RGB of a canvas whose box `inner` (whole pixels) is painted; changed in place
 * @param background where given, edge pixels of other colours are taken as it: what is cut off stays cut off
 */
export function extendEdges(
  data: Uint8Array,
  { width, height }: { readonly width: number; readonly height: number },
  [left, top, right, bottom]: Box,
  background?: Background,
): void {
  const pixel = (x: number, y: number) => (y * width + x) * 3;
  const [rows, row] = [bottom - top, width * 3];
  const side = (x: number, outwards: number, depth: number) =>
    extend(data, { start: pixel(x, top), along: row, count: rows, outwards, depth }, background);
  side(left, -3, left);
  side(right - 1, 3, width - right);
  const end = (y: number, outwards: number, depth: number) =>
    extend(data, { start: pixel(0, y), along: 3, count: width, outwards, depth }, background);
  end(top, -row, top); // as wide as the canvas: the corners come with it
  end(bottom - 1, row, height - bottom);
}

/** An edge: its first pixel, the way along it and the way off it, all in bytes, and how many pixels to fill. */
interface Edge {
  readonly start: number;
  readonly along: number;
  readonly count: number;
  readonly outwards: number;
  readonly depth: number;
}

/** At this many levels from the edge's median a pixel weighs half. */
const HALF_WEIGHT = 16;

function extend(data: Uint8Array, { start, along, count, outwards, depth }: Edge, background?: Background): void {
  if (depth === 0) return;
  const places = Int32Array.from({ length: count }, (_, i) => start + i * along);
  const median = background?.colour ?? medianColour(data, places);
  const weights = new Float64Array(count + 1); // running sums: a window is one subtraction
  const sums = [0, 1, 2].map(() => new Float64Array(count + 1));
  for (const [i, at] of places.entries()) {
    const off = distance(data, at, median);
    const foreign = background !== undefined && off > background.tolerance;
    const weight = foreign ? 1 : 1 / (1 + (off / HALF_WEIGHT) ** 2);
    weights[i + 1] = weights[i]! + weight;
    for (const [c, sum] of sums.entries()) sum[i + 1] = sum[i]! + weight * (foreign ? median[c]! : data[at + c]!);
  }
  for (let d = 1; d <= depth; d++)
    for (let i = 0; i < count; i++) {
      const [from, to] = [Math.max(0, i - d), Math.min(count, i + d + 1)];
      const weight = weights[to]! - weights[from]!;
      const at = places[i]! + d * outwards;
      for (let c = 0; c < 3; c++) data[at + c] = Math.round((sums[c]![to]! - sums[c]![from]!) / weight);
    }
}
