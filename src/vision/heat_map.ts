import { ShapeError } from "../util/errors.ts";
import { toGray, type RgbImage } from "./image.ts";

/** Numbers that lie on a picture in a grid, row by row from the top. */
export interface HeatGrid {
  /** Cells of a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** width · height of them. */
  readonly values: ArrayLike<number>;
}

/** From nothing to most: black, violet, red, orange, pale yellow, ever lighter. */
const RAMP = [
  [0, 0, 4],
  [87, 16, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
] as const;

/** How much of a hot pixel is its colour, and of a cold one; the rest is the picture in grey. */
const [HOT, COLD] = [0.85, 0.35];

/**
 * A picture in grey under the colours of a grid's numbers, from 0 (dark) to `most` (light).
 * @param most default the largest of them
 * @throws ShapeError when the grid lacks numbers
 */
export function heatMap(grid: HeatGrid, over: RgbImage, most = largest(grid)): RgbImage {
  const { width, height } = over;
  const gray = toGray(over).data;
  const data = new Uint8Array(3 * width * height);
  const heat = enlarged(grid, width, height);
  for (let i = 0; i < heat.length; i++) {
    const value = most > 0 ? Math.min(1, Math.max(0, heat[i]! / most)) : 0;
    const share = COLD + (HOT - COLD) * value;
    const colour = rampAt(value);
    for (let c = 0; c < 3; c++) data[3 * i + c] = Math.round(share * colour[c]! + (1 - share) * gray[i]!);
  }
  return { width, height, data };
}

function largest({ width, height, values }: HeatGrid): number {
  if (values.length !== width * height)
    throw new ShapeError("heatMap", `${values.length} numbers for a grid of ${width}x${height}`);
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]!);
  return most;
}

function rampAt(value: number): number[] {
  const at = value * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[low]!.map((from, c) => from + (RAMP[low + 1]![c]! - from) * (at - low));
}

/** By lines between the middles of the grid's cells. */
export function enlarged({ width: w, height: h, values }: HeatGrid, width: number, height: number): Float32Array {
  const place = (i: number, from: number, to: number) => {
    const at = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    const low = Math.min(Math.floor(at), Math.max(0, from - 2));
    return { low, high: Math.min(low + 1, from - 1), part: at - low };
  };
  const columns = Array.from({ length: width }, (_, x) => place(x, w, width));
  const result = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = place(y, h, height);
    for (const [x, column] of columns.entries()) {
      const line = (r: number) => {
        const [a, b] = [values[r * w + column.low]!, values[r * w + column.high]!];
        return a + (b - a) * column.part;
      };
      const [a, b] = [line(row.low), line(row.high)];
      result[y * width + x] = a + (b - a) * row.part;
    }
  }
  return result;
}
