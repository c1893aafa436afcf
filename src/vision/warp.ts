import { ShapeError } from "../util/errors.ts";
import type { Point } from "./point.ts";
import type { Box } from "./resize.ts";

/** x' = m0·x + m1·y + m2, y' = m3·x + m4·y + m5. */
export type Affine = readonly [m0: number, m1: number, m2: number, m3: number, m4: number, m5: number];

type Corners = readonly [Point, Point, Point];

/** Rows of interleaved channels from the top. */
export interface Pixels<T extends Uint8Array | Float32Array> {
  readonly width: number;
  readonly height: number;
  readonly data: T;
}

/** The transform that moves three points onto three others, by Cramer's rule. @throws ShapeError when they lie on a line */
export function getAffineTransform([a, b, c]: Corners, to: Corners): Affine {
  const [bx, by, cx, cy] = [b.x - a.x, b.y - a.y, c.x - a.x, c.y - a.y];
  const area = bx * cy - cx * by;
  if (area === 0) throw new ShapeError("getAffineTransform", "the three points lie on a line");
  const row = (u: number, v: number, w: number) => {
    const alongX = ((v - u) * cy - (w - u) * by) / area;
    const alongY = ((w - u) * bx - (v - u) * cx) / area;
    return [alongX, alongY, u - alongX * a.x - alongY * a.y] as const;
  };
  const [p, q, r] = to;
  return [...row(p.x, q.x, r.x), ...row(p.y, q.y, r.y)];
}

/** The way back, in OpenCV's order of operations. @throws ShapeError when there is none */
export function invertAffine([m0, m1, m2, m3, m4, m5]: Affine): Affine {
  const determinant = m0 * m4 - m1 * m3;
  if (determinant === 0) throw new ShapeError("invertAffine", "the transform has no inverse");
  const scale = 1 / determinant;
  const [a, b, c, d] = [m4 * scale, -m1 * scale, -m3 * scale, m0 * scale];
  return [a, b, -a * m2 - b * m5, c, d, -c * m2 - d * m5];
}

// Positions have 10 fractional bits while they are summed, of which 5 are kept: weights come in steps of 1/32.
const SUM_BITS = 10;
const KEPT_BITS = 5;
const STEPS = 1 << KEPT_BITS;
const HALF_STEP = 1 << (SUM_BITS - KEPT_BITS - 1);

/** To the nearest integer, halves to the even one. */
function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** Where pixel (x, y) of the result comes from: the sum of a column's and a row's share, per axis. */
interface Positions {
  readonly columnX: Int32Array;
  readonly columnY: Int32Array;
  readonly rowX: Int32Array;
  readonly rowY: Int32Array;
}

function positions([m0, m1, m2, m3, m4, m5]: Affine, width: number, height: number): Positions {
  const scale = 1 << SUM_BITS;
  return {
    columnX: Int32Array.from({ length: width }, (_, x) => roundEven(m0 * x * scale)),
    columnY: Int32Array.from({ length: width }, (_, x) => roundEven(m3 * x * scale)),
    rowX: Int32Array.from({ length: height }, (_, y) => roundEven((m1 * y + m2) * scale) + HALF_STEP),
    rowY: Int32Array.from({ length: height }, (_, y) => roundEven((m4 * y + m5) * scale) + HALF_STEP),
  };
}

/**
 * Moves a picture by an affine transform as OpenCV 4.7's `warpAffine` does, bit for bit: bilinear, with positions in
 * 1/32 pixel, zeros outside the picture.
 * @param image - bytes, or float32; 1 to 4 channels
 * @param transform - from the picture to the result
 * @param window - the pixels of the result that are computed; others are 0. Default all
 * @param room - what the result is written into; its other pixels stay as they are
 */
export function warpAffine<T extends Uint8Array | Float32Array>(
  image: Pixels<T>,
  transform: Affine,
  width: number,
  height: number,
  window: Box = [0, 0, width, height],
  room?: T,
): Pixels<T> {
  const channels = image.data.length / (image.width * image.height);
  if (!Number.isInteger(channels) || channels < 1 || channels > 4)
    throw new ShapeError("warpAffine", `${image.data.length} numbers for ${image.width}x${image.height} pixels`);
  const back = invertAffine(transform);
  if (isShift(back)) return { width, height, data: shifted(image, channels, back, [width, height], window, room) };
  const from = positions(back, width, height);
  const data =
    image.data instanceof Uint8Array
      ? warpBytes(image as Pixels<Uint8Array>, channels, from, window, room as Uint8Array | undefined)
      : warpFloats(image as Pixels<Float32Array>, channels, from, window, room as Float32Array | undefined);
  return { width, height, data: data as T };
}

/** Whether whole pixels stay whole pixels. */
const isShift = ([m0, m1, m2, m3, m4, m5]: Affine) =>
  m0 === 1 && m1 === 0 && m3 === 0 && m4 === 1 && Number.isInteger(m2) && Number.isInteger(m5);

/** Rows of a picture at another place: what `warpAffine` would compute, weight by weight. */
function shifted<T extends Uint8Array | Float32Array>(
  image: Pixels<T>,
  channels: number,
  [, , across, , , down]: Affine,
  [width, height]: readonly [number, number],
  [startX, startY, endX, endY]: Box,
  room: T | undefined,
): T {
  const Numbers = image.data.constructor as new (length: number) => T;
  const out = room ?? new Numbers(width * height * channels);
  const [left, right] = [Math.max(startX, -across), Math.min(endX, image.width - across)];
  const [top, bottom] = [Math.max(startY, -down), Math.min(endY, image.height - down)];
  if (right <= left) return out;
  for (let y = top; y < bottom; y++) {
    const row = ((y + down) * image.width + across) * channels;
    out.set(image.data.subarray(row + left * channels, row + right * channels), (y * width + left) * channels);
  }
  return out;
}

const DROP = SUM_BITS - KEPT_BITS;
const FRACTION = STEPS - 1;

/** Weights with 15 fractional bits, rounded once. */
function warpBytes(
  image: Pixels<Uint8Array>,
  channels: number,
  from: Positions,
  [startX, startY, endX, endY]: Box,
  room: Uint8Array | undefined,
): Uint8Array {
  const width = from.columnX.length;
  const out = room ?? new Uint8Array(width * from.rowX.length * channels);
  const pixel = reader(image, channels);
  for (let y = startY; y < endY; y++)
    for (let x = startX, at = (y * width + x) * channels; x < endX; x++) {
      const [fineX, fineY] = [(from.columnX[x]! + from.rowX[y]!) >> DROP, (from.columnY[x]! + from.rowY[y]!) >> DROP];
      const [left, top, fx, fy] = [fineX >> KEPT_BITS, fineY >> KEPT_BITS, fineX & FRACTION, fineY & FRACTION];
      for (let c = 0; c < channels; c++, at++) {
        const above = (STEPS - fx) * pixel(left, top, c) + fx * pixel(left + 1, top, c);
        const below = (STEPS - fx) * pixel(left, top + 1, c) + fx * pixel(left + 1, top + 1, c);
        out[at] = (((STEPS - fy) * above + fy * below) * 32 + (1 << 14)) >> 15;
      }
    }
  return out;
}

/** float32 products and sums, from the top left to the bottom right. */
function warpFloats(
  image: Pixels<Float32Array>,
  channels: number,
  from: Positions,
  [startX, startY, endX, endY]: Box,
  room: Float32Array | undefined,
): Float32Array {
  const width = from.columnX.length;
  const out = room ?? new Float32Array(width * from.rowX.length * channels);
  const pixel = reader(image, channels);
  const { fround } = Math;
  const mix = (a: number, b: number, c: number, d: number, fx: number, fy: number) => {
    let sum = fround(a * (((STEPS - fx) * (STEPS - fy)) / UNIT));
    sum = fround(sum + fround(b * ((fx * (STEPS - fy)) / UNIT)));
    sum = fround(sum + fround(c * (((STEPS - fx) * fy) / UNIT)));
    return fround(sum + fround(d * ((fx * fy) / UNIT)));
  };
  const { data } = image;
  const [down, lastX, lastY] = [image.width * channels, image.width - 1, image.height - 1];
  for (let y = startY; y < endY; y++)
    for (let x = startX, at = (y * width + x) * channels; x < endX; x++) {
      const fineX = (from.columnX[x]! + from.rowX[y]!) >> DROP;
      const fineY = (from.columnY[x]! + from.rowY[y]!) >> DROP;
      const left = fineX >> KEPT_BITS;
      const top = fineY >> KEPT_BITS;
      const fx = fineX & FRACTION;
      const fy = fineY & FRACTION;
      const inside = left >= 0 && top >= 0 && left < lastX && top < lastY;
      for (let c = 0; c < channels; c++, at++) {
        const i = top * down + left * channels + c;
        if (!inside)
          out[at] = mix(
            pixel(left, top, c),
            pixel(left + 1, top, c),
            pixel(left, top + 1, c),
            pixel(left + 1, top + 1, c),
            fx,
            fy,
          );
        else if (fx === 0 && fy === 0) out[at] = data[i]!;
        else out[at] = mix(data[i]!, data[i + channels]!, data[i + down]!, data[i + down + channels]!, fx, fy);
      }
    }
  return out;
}

const UNIT = STEPS * STEPS;

/** A pixel's channel, 0 outside the picture. */
function reader<T extends Uint8Array | Float32Array>({ width, height, data }: Pixels<T>, channels: number) {
  return (x: number, y: number, c: number): number =>
    x >= 0 && y >= 0 && x < width && y < height ? data[(y * width + x) * channels + c]! : 0;
}

/** For each output position along one axis: the input below it, and the share of the next one. */
function corners(from: number, to: number) {
  const scale = to > 1 ? Math.fround((from - 1) / (to - 1)) : 0;
  const low = new Int32Array(to);
  const share = new Float32Array(to);
  for (let i = 0; i < to; i++) {
    const at = Math.fround(scale * i);
    low[i] = Math.min(Math.floor(at), from - 1);
    share[i] = Math.min(Math.max(at - low[i]!, 0), 1);
  }
  return { low, share };
}

/** Memory of one enlargement, for many of one size: fresh planes for each of forty classes cost more than their sums. */
interface UpsampleRoom {
  readonly data: Float32Array;
  /** Rows enlarged first: each is used by several rows of the result. */
  readonly wide: Float32Array;
}

export const upsampleRoom = (plane: Pixels<Float32Array>, width: number, height: number): UpsampleRoom => ({
  data: new Float32Array(width * height),
  wide: new Float32Array(plane.height * width),
});

/**
 * One channel of float32 enlarged bilinearly with its corner pixels on the corners: PyTorch's
 * `interpolate(mode="bilinear", align_corners=True)`.
 * @param window - the pixels of the result that are computed; others are 0. Default all
 * @param room - what the result is written into, of `upsampleRoom`; it holds the result until it is used again
 */
export function upsample(
  plane: Pixels<Float32Array>,
  width: number,
  height: number,
  [left, top, right, bottom]: Box = [0, 0, width, height],
  { data, wide }: UpsampleRoom = upsampleRoom(plane, width, height),
): Pixels<Float32Array> {
  const columns = corners(plane.width, width);
  const rows = corners(plane.height, height);
  const { fround } = Math;
  const lastRow = Math.min(plane.height - 1, rows.low[bottom - 1]! + 1);
  for (let y = rows.low[top]!; y <= lastRow; y++)
    for (let x = left, at = y * width + left; x < right; x++, at++) {
      const low = y * plane.width + columns.low[x]!;
      const next = columns.low[x]! + 1 < plane.width ? low + 1 : low;
      const share = columns.share[x]!;
      wide[at] = fround(plane.data[low]! * fround(1 - share)) + fround(plane.data[next]! * share);
    }
  for (let y = top; y < bottom; y++) {
    const low = rows.low[y]! * width;
    const next = rows.low[y]! + 1 < plane.height ? low + width : low;
    const share = rows.share[y]!;
    const rest = fround(1 - share);
    for (let x = left, at = y * width + left; x < right; x++, at++)
      data[at] = fround(wide[low + x]! * rest) + fround(wide[next + x]! * share);
  }
  return { width, height, data };
}
