import type { RgbImage } from "../../../vision/image.ts";
import type { Garment } from "./garment.ts";
import { MANNEQUIN } from "./pose.ts";
import { Canvas, FRAME_HEIGHT, FRAME_WIDTH, type Rgb, type View } from "./raster.ts";
import { garmentLayers, insideNeck, type Layer } from "./wear.ts";

const PAPER: Rgb = [0.965, 0.965, 0.96];
/** Share of the picture that a garment fills, one way or the other. */
const FILLED = 0.9;
/** No garment is enlarged further, or a crop of shorts would look like a pair of tents. */
const CLOSEST = 2.1;

/** The garment alone, laid flat on something light. */
export function paintFlat(garment: Garment, width: number, height: number): RgbImage {
  const shape = garmentLayers(garment, { skeleton: MANNEQUIN, footprint: 1, folds: [] });
  const view = framing(shape);
  const canvas = new Canvas(width, height, { view });
  canvas.clear(PAPER);
  const layers = garmentLayers(garment, { skeleton: MANNEQUIN, footprint: canvas.footprint, folds: [] });
  const hasNeck = garment.kind === "top" || garment.kind === "dress";
  for (const { paths, paint, opacity } of hasNeck ? [insideNeck(garment), ...layers] : layers)
    canvas.fill(paths, paint, opacity === undefined ? {} : { opacity });
  return canvas.picture();
}

/** Moves and enlarges the shapes so that they fill the frame. */
function framing(layers: readonly Layer[]): View {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { paths } of layers)
    for (const path of paths)
      for (const { x, y } of path)
        [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
  const scale = Math.min(CLOSEST, (FILLED * FRAME_WIDTH) / (x1 - x0), (FILLED * FRAME_HEIGHT) / (y1 - y0));
  return { scale, dx: FRAME_WIDTH / 2 - (scale * (x0 + x1)) / 2, dy: FRAME_HEIGHT / 2 - (scale * (y0 + y1)) / 2 };
}
