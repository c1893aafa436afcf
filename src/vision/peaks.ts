import { Enlarged, gaussianFilter, gaussianRadius, type Plane, type Window } from "./filters.ts";

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
 * @param merge one peak, its middle, for a plateau of equal heights, instead of each of its pixels
 */
export function findPeaks(source: Plane, map: Enlarged, merge: boolean): Peak[] {
  const active = activeWindow(source, map);
  if (!active) return [];
  const reach = gaussianRadius(SIGMA);
  const { width } = map;
  const exact = map.render(grow(active, 2 * reach + 1, map)).data;
  const { data: smooth } = gaussianFilter(
    { ...map, width, height: map.height, data: exact },
    SIGMA,
    grow(active, reach + 1, map),
  );
  const searched = grow(active, reach, map);
  const found: number[] = [];
  for (let y = searched.top; y < searched.bottom; y++)
    for (let x = searched.left; x < searched.right; x++) {
      const at = y * width + x;
      const height = smooth[at]!;
      if (!(height > THRESHOLD)) continue;
      const left = x > 0 ? smooth[at - 1]! : 0;
      const right = x < width - 1 ? smooth[at + 1]! : 0;
      const above = y > 0 ? smooth[at - width]! : 0;
      const below = y < map.height - 1 ? smooth[at + width]! : 0;
      if (height >= left && height >= right && height >= above && height >= below) found.push(at);
    }
  const kept = merge ? middles(found, width) : found;
  return highest(kept.map((at) => ({ x: at % width, y: Math.floor(at / width), score: exact[at]! })));
}

/** Everything outside is certainly at or below the threshold, so that nothing else needs to be computed. */
function activeWindow({ width, height, data }: Plane, map: Enlarged): Window | undefined {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      if (!(Math.abs(data[y * width + x]!) > THRESHOLD / GAIN)) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), y];
    }
  if (right < 0) return undefined;
  const [sx, sy] = [map.width / width, map.height / height];
  const taps = 5; // eight taps reach four pixels from the position, which lies within one of the pixel
  const window = {
    left: (left - taps) * sx,
    top: (top - taps) * sy,
    right: (right + 1 + taps) * sx,
    bottom: (bottom + 1 + taps) * sy,
  };
  return grow(window, 0, map);
}

const grow = ({ left, top, right, bottom }: Window, by: number, { width, height }: Enlarged): Window => ({
  left: Math.max(0, Math.floor(left) - by),
  top: Math.max(0, Math.floor(top) - by),
  right: Math.min(width, Math.ceil(right) + by),
  bottom: Math.min(height, Math.ceil(bottom) + by),
});

/** Of each group of touching pixels the one nearest to the group's centre of gravity. */
function middles(pixels: readonly number[], width: number): number[] {
  const left = new Set(pixels);
  const result: number[] = [];
  for (const start of pixels) {
    if (!left.delete(start)) continue;
    const group = [start];
    for (const at of group)
      for (const step of [-1, 1, -width, width, -width - 1, -width + 1, width - 1, width + 1]) {
        const wraps = Math.abs((at % width) - ((at + step) % width)) > 1;
        if (!wraps && left.delete(at + step)) group.push(at + step);
      }
    result.push(group.length === 1 ? start : middle(group, width));
  }
  return result.sort((a, b) => a - b);
}

function middle(group: readonly number[], width: number): number {
  let [x, y] = [0, 0];
  for (const at of group) {
    x += (at % width) / group.length;
    y += Math.floor(at / width) / group.length;
  }
  const distance = (at: number) => ((at % width) - x) ** 2 + (Math.floor(at / width) - y) ** 2;
  return group.reduce((best, at) => (distance(at) < distance(best) ? at : best));
}

/** At most `MOST` peaks, in their old order. */
function highest(peaks: Peak[]): Peak[] {
  if (peaks.length <= MOST) return peaks;
  const kept = new Set([...peaks].sort((a, b) => b.score - a.score).slice(0, MOST));
  return peaks.filter((peak) => kept.has(peak));
}
