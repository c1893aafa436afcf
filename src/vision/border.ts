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
 * Fills what lies around `inner` by carrying the picture's edges outwards. A border pixel d pixels away is an
 * average of the edge's pixels, one that lies k from its foot weighing exp(-k / d): the border begins with the edge's own
 * colours (no seam), no pixel drags a streak behind it, and far out only the background is left, because an edge pixel
 * weighs less the further it is from the edge's median.
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
  // red, green and blue times the weight, then the weight
  const lines = [0, 1, 2, 3].map(() => new Float64Array(count));
  for (const [i, at] of places.entries()) {
    const off = distance(data, at, median);
    const isForeign = background !== undefined && off > background.tolerance;
    const weight = isForeign ? 1 : 1 / (1 + (off / HALF_WEIGHT) ** 2);
    for (let c = 0; c < 3; c++) lines[c]![i] = weight * (isForeign ? median[c]! : data[at + c]!);
    lines[3]![i] = weight;
  }
  for (let d = 1; d <= depth; d++) {
    const [red, green, blue, weight] = lines.map((line) => spread(line, Math.exp(-1 / d))) as Quadruple;
    for (let i = 0; i < count; i++) {
      const at = places[i]! + d * outwards;
      data[at] = Math.round(red[i]! / weight[i]!);
      data[at + 1] = Math.round(green[i]! / weight[i]!);
      data[at + 2] = Math.round(blue[i]! / weight[i]!);
    }
  }
}

type Quadruple = [Float64Array, Float64Array, Float64Array, Float64Array];

/** Each number plus its neighbours' on both sides, k away times decay^k: one recursion each way. */
function spread(line: Float64Array, decay: number): Float64Array {
  const result = line.slice();
  for (let i = 1; i < line.length; i++) result[i]! += decay * result[i - 1]!;
  for (let i = line.length - 2, behind = 0; i >= 0; i--) {
    behind = decay * (line[i + 1]! + behind);
    result[i]! += behind;
  }
  return result;
}
