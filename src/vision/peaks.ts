import { gaussianFilter, gaussianRadius, type Enlarged, type Plane, type Window } from "./filters.ts";

/** Where a joint may be, in pixels of the picture. */
export interface Peak {
  readonly x: number;
  readonly y: number;
  /** The heat map there, about 1 for a certain joint. */
  readonly score: number;
}

const THRESHOLD = 0.1;
const SIGMA = 3;
/** The most by which Lanczos-4 weights can magnify: the sum of their magnitudes is at most 1.72 in each direction. */
const GAIN = 3;
/** Of more peaks than a crowd has, which noise or a flat map brings, the highest are kept. */
const MOST = 128;

/**
 * Local maxima above 0.1 of a joint's smoothed heat map, row by row from the top.
 * @param map the joint's heat, enlarged to the picture's size where it is asked for, made from `source`
 * @param merge one peak for a plateau or a summit with ripples, instead of one for each ripple and each pixel of a plateau
 * @param scratch room that is used from joint to joint
 */
export function findPeaks(source: Plane, map: Enlarged, merge: boolean, scratch = scratchFor(map)): Peak[] {
  const { width, height } = map;
  const reach = gaussianRadius(SIGMA);
  const exact = { width, height, data: scratch.exact };
  const smooth = { width, height, data: scratch.smooth };
  const written: Window[] = [];
  const found: number[] = [];
  for (const possible of apart(activeWindows(source, map), reach, map)) {
    map.render(grow(possible, 2 * reach + 1, map), exact.data);
    const active = highWindow(exact, possible); // a mean is above the threshold only within reach of a pixel that is
    if (!active) continue;
    const window = grow(active, reach + 1, map);
    gaussianFilter(exact, SIGMA, window, smooth.data);
    written.push(window);
    for (const at of maxima(smooth, grow(active, reach, map))) found.push(at); // too many to spread on a flat map
  }
  found.sort((a, b) => a - b);
  const kept = merge ? summits(found, smooth) : found;
  for (const { left, top, right, bottom } of written)
    for (let y = top; y < bottom; y++) smooth.data.fill(0, y * width + left, y * width + right);
  return highest(kept.map((at) => ({ x: at % width, y: Math.floor(at / width), score: exact.data[at]! })));
}

/** Two planes of a picture's size: to allocate them for each joint takes as long as to find its peaks. */
export interface Scratch {
  /** Of the map where it was looked at; anything elsewhere. */
  readonly exact: Float32Array;
  /** Zeros between two calls. */
  readonly smooth: Float64Array;
}

export const scratchFor = ({ width, height }: { readonly width: number; readonly height: number }): Scratch => ({
  exact: new Float32Array(width * height),
  smooth: new Float64Array(width * height),
});

/** Pixels of a window above the threshold that none of their four neighbours tops; outside the picture is 0. */
function maxima({ width, height, data }: Plane, window: Window): number[] {
  const found: number[] = [];
  for (let y = window.top; y < window.bottom; y++)
    for (let x = window.left; x < window.right; x++) {
      const at = y * width + x;
      const value = data[at]!;
      if (!(value > THRESHOLD)) continue;
      const beaten =
        (x > 0 && value < data[at - 1]!) ||
        (x < width - 1 && value < data[at + 1]!) ||
        (y > 0 && value < data[at - width]!) ||
        (y < height - 1 && value < data[at + width]!);
      if (!beaten) found.push(at);
    }
  return found;
}

/** Everything outside these is certainly at or below the threshold, so that nothing else needs to be computed. */
function activeWindows(source: Plane, map: Enlarged): Window[] {
  const { columns, rows, low, high } = blockRanges(source);
  const windows: Window[] = [];
  const [sx, sy] = [(map.width / source.width) * BLOCK, (map.height / source.height) * BLOCK];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let [least, most] = [Infinity, -Infinity]; // of all that the enlargement reads for a pixel of this block
      for (let y = Math.max(0, row - 1); y <= Math.min(rows - 1, row + 1); y++)
        for (let x = Math.max(0, column - 1); x <= Math.min(columns - 1, column + 1); x++) {
          least = Math.min(least, low[y * columns + x]!);
          most = Math.max(most, high[y * columns + x]!);
        }
      // weights sum to 1, so a result differs from any middle value by at most their magnitudes times the distance
      if (!((most + least + GAIN * (most - least)) / 2 > THRESHOLD)) continue;
      const block = { left: column * sx, top: row * sy, right: (column + 1) * sx, bottom: (row + 1) * sy };
      windows.push(grow(block, 1, map));
    }
  return windows;
}

/** Joins windows until no two of them, grown by `reach`, overlap. */
function apart(windows: readonly Window[], reach: number, map: Enlarged): Window[] {
  const result: Window[] = [];
  for (let window of windows) {
    for (;;) {
      const around = grow(window, 2 * reach, map); // one grows as much as the other
      const near = result.findIndex(
        (other) =>
          other.left < around.right &&
          other.right > around.left &&
          other.top < around.bottom &&
          other.bottom > around.top,
      );
      if (near < 0) break;
      window = include(window, result[near]!);
      result.splice(near, 1);
    }
    result.push(window);
  }
  return result;
}

const BLOCK = 8; // more than the four pixels that Lanczos-4 reaches

/** Least and greatest number in each block of 8x8. */
function blockRanges({ width, height, data }: Plane) {
  const [columns, rows] = [Math.ceil(width / BLOCK), Math.ceil(height / BLOCK)];
  const low = new Float32Array(columns * rows).fill(Infinity);
  const high = new Float32Array(columns * rows).fill(-Infinity);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      const block = (y >> 3) * columns + (x >> 3);
      if (data[at]! < low[block]!) low[block] = data[at]!;
      if (data[at]! > high[block]!) high[block] = data[at]!;
    }
  return { columns, rows, low, high };
}

/** The smallest window around the pixels of `within` that are above the threshold. */
function highWindow({ width, data }: Plane, within: Window): Window | undefined {
  let window: Window | undefined;
  for (let y = within.top; y < within.bottom; y++) {
    const row = data.subarray(y * width + within.left, y * width + within.right);
    const first = row.findIndex((value) => value > THRESHOLD);
    if (first < 0) continue;
    const last = row.findLastIndex((value) => value > THRESHOLD);
    window = include(window, { left: within.left + first, top: y, right: within.left + last + 1, bottom: y + 1 });
  }
  return window;
}

const include = (window: Window | undefined, { left, top, right, bottom }: Window): Window => ({
  left: Math.min(window?.left ?? left, left),
  top: Math.min(window?.top ?? top, top),
  right: Math.max(window?.right ?? right, right),
  bottom: Math.max(window?.bottom ?? bottom, bottom),
});

const grow = ({ left, top, right, bottom }: Window, by: number, { width, height }: Enlarged): Window => ({
  left: Math.max(0, Math.floor(left) - by),
  top: Math.max(0, Math.floor(top) - by),
  right: Math.min(width, Math.ceil(right) + by),
  bottom: Math.min(height, Math.ceil(bottom) + by),
});

/**
 * One pixel for each summit. Peaks that are connected to a higher one, or one as high, above four fifths of its height
 * are ripples of the same summit, which then lies at the centre of that region.
 */
function summits(peaks: readonly number[], { width, data }: Plane): number[] {
  const taken = new Uint8Array(data.length);
  const isPeak = new Set(peaks);
  const result: number[] = [];
  for (const peak of [...peaks].sort((a, b) => data[b]! - data[a]!)) {
    if (taken[peak]) continue;
    const level = 0.8 * data[peak]!;
    const region = [peak];
    taken[peak] = 1;
    let ripples = 0;
    for (const at of region) {
      if (isPeak.has(at)) ripples++;
      const x = at % width;
      const near = [at - width, at + width, x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1];
      for (const next of near) {
        if (!(data[next]! >= level) || taken[next]) continue; // undefined outside
        taken[next] = 1;
        region.push(next);
      }
    }
    result.push(ripples === 1 ? peak : centre(region, width));
  }
  return result.sort((a, b) => a - b);
}

/** The pixel of a region that is nearest to its centre of gravity. */
function centre(region: readonly number[], width: number): number {
  let [x, y] = [0, 0];
  for (const at of region) {
    x += (at % width) / region.length;
    y += Math.floor(at / width) / region.length;
  }
  const distance = (at: number) => ((at % width) - x) ** 2 + (Math.floor(at / width) - y) ** 2;
  return region.reduce((best, at) => (distance(at) < distance(best) ? at : best));
}

/** At most `MOST` peaks, in their old order. */
function highest(peaks: Peak[]): Peak[] {
  if (peaks.length <= MOST) return peaks;
  const kept = new Set([...peaks].sort((a, b) => b.score - a.score).slice(0, MOST));
  return peaks.filter((peak) => kept.has(peak));
}
