import type { RgbImage } from "./image.ts";

/** Pictures of one size as one: every list is a column, its first picture on top. */
export function sheet(columns: readonly (readonly RgbImage[])[]): RgbImage {
  const { width: w, height: h } = columns[0]![0]!;
  const width = w * columns.length;
  const height = h * Math.max(...columns.map((column) => column.length));
  const data = new Uint8Array(3 * width * height);
  for (const [x, column] of columns.entries())
    for (const [y, image] of column.entries())
      for (let row = 0; row < h; row++)
        data.set(image.data.subarray(3 * row * w, 3 * (row + 1) * w), 3 * ((y * h + row) * width + x * w));
  return { width, height, data };
}
