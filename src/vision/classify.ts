import type { GrayImage } from "./image.ts";
import type { OnnxOutput } from "./onnx.ts";
import type { Box } from "./resize.ts";
import {
  getAffineTransform,
  invertAffine,
  upsample,
  upsampleRoom,
  warpAffine,
  type Affine,
  type Pixels,
} from "./warp.ts";

/** The picture on a parser's square: its larger side fills it, the rest is black. */
export function squareTransform(width: number, height: number, side: number): Affine {
  const centre = { x: (width - 1) / 2, y: (height - 1) / 2 };
  const extent = Math.max(width, height) - 1;
  const middle = (side - 1) / 2;
  return getAffineTransform(
    [centre, { x: centre.x, y: centre.y - extent / 2 }, { x: centre.x - extent / 2, y: centre.y - extent / 2 }],
    [
      { x: middle, y: middle },
      { x: middle, y: 0 },
      { x: 0, y: 0 },
    ],
  );
}

/**
 * The class with the largest logit for every pixel of the picture; of several the first. Logits are enlarged to the
 * parser's square and from there moved to the picture.
 * @param side - of the square
 * @param within - the only pixels that are asked for; others get label 0. Default all
 */
export function classify(
  { data, shape }: OnnxOutput,
  side: number,
  width: number,
  height: number,
  within: Box = [0, 0, width, height],
): GrayImage {
  const [, classes = 0, rows = 0, columns = 0] = shape;
  const square = squareTransform(width, height, side);
  const [back, needed] = [invertAffine(square), squareBox(within, square, side)];
  const [left, top, right, bottom] = within;
  const labels = new Uint8Array(width * height);
  const best = new Float32Array(width * height).fill(-Infinity);
  const planeOf = (c: number): Pixels<Float32Array> => ({
    width: columns,
    height: rows,
    data: data.subarray(c * rows * columns, (c + 1) * rows * columns),
  });
  const room = upsampleRoom(planeOf(0), side, side);
  const moved = new Float32Array(width * height);
  for (let c = 0; c < classes; c++) {
    const logits = warpAffine(upsample(planeOf(c), side, side, needed, room), back, width, height, within, moved).data;
    for (let y = top; y < bottom; y++)
      for (let i = y * width + left; i < y * width + right; i++)
        if (logits[i]! > best[i]!) {
          best[i] = logits[i]!;
          labels[i] = c;
        }
  }
  return { width, height, data: labels };
}

/** Pixels of the square that a box of the picture is made from. */
function squareBox(box: Box, [scale, , left, , , top]: Affine, side: number): Box {
  const [x0, x1] = [box[0], box[2]].map((x) => x * scale + left) as [number, number];
  const [y0, y1] = [box[1], box[3]].map((y) => y * scale + top) as [number, number];
  const inside = (at: number) => Math.min(Math.max(0, at), side);
  return [inside(Math.floor(x0) - 1), inside(Math.floor(y0) - 1), inside(Math.ceil(x1) + 2), inside(Math.ceil(y1) + 2)];
}
