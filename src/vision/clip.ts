import { z } from "zod";
import { InputError } from "../util/errors.ts";
import type { RgbImage } from "./image.ts";
import { resize, type Filter } from "./resize.ts";

const FILTERS: Readonly<Record<number, Filter>> = { 0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic" };

const triple = z.tuple([z.number(), z.number(), z.number()]);
const side = z.number().int().positive();

/** preprocessor_config.json of a CLIP model; other fields are passed over. */
const schema = z.object({
  size: z.union([z.object({ shortest_edge: side }), side.transform((shortest_edge) => ({ shortest_edge }))]).default({ shortest_edge: 224 }),
  crop_size: z.union([z.object({ height: side, width: side }), side.transform((n) => ({ height: n, width: n }))]).default({ height: 224, width: 224 }),
  resample: z.number().int().default(3),
  rescale_factor: z.number().default(1 / 255),
  image_mean: triple.default([0.48145466, 0.4578275, 0.40821073]),
  image_std: triple.default([0.26862954, 0.26130258, 0.27577711]),
});

/** Numbers for the vision tower. */
export interface Pixels {
  /** [1, height, width, 3]. */
  readonly shape: readonly [1, number, number, 3];
  readonly data: Float32Array;
}

/**
 * CLIP's preprocessing as transformers' CLIPImageProcessor does it: the short edge resized, the centre cropped,
 * bytes scaled and normalised per channel.
 * @param config the checkpoint's preprocessor_config.json
 * @throws InputError when the config asks for what is not implemented
 */
export function clipPreprocess(image: RgbImage, config: unknown = {}): Pixels {
  const parsed = schema.safeParse(config);
  if (!parsed.success) throw new InputError("preprocessor_config.json", parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`).join("; "));
  const { size, crop_size: crop, resample, rescale_factor: factor, image_mean: mean, image_std: std } = parsed.data;
  const filter = FILTERS[resample];
  if (!filter) throw new InputError("preprocessor_config.json", `resample ${resample} is not one of ${Object.keys(FILTERS).join(", ")}`);
  const edge = size.shortest_edge;
  const [width, height] =
    image.width <= image.height
      ? [edge, Math.trunc((edge * image.height) / image.width)]
      : [Math.trunc((edge * image.width) / image.height), edge];
  const small = resize(image, width, height, filter);
  const [top, left] = [Math.floor((height - crop.height) / 2), Math.floor((width - crop.width) / 2)];
  const data = new Float32Array(crop.height * crop.width * 3);
  for (let y = 0; y < crop.height; y++)
    for (let x = 0; x < crop.width; x++)
      for (let c = 0; c < 3; c++) {
        const [row, column] = [y + top, x + left];
        const inside = row >= 0 && row < height && column >= 0 && column < width; // a smaller picture is padded with black
        const value = inside ? small.data[(row * width + column) * 3 + c]! : 0;
        data[(y * crop.width + x) * 3 + c] = (Math.fround(value * factor) - mean[c]!) / std[c]!;
      }
  return { shape: [1, crop.height, crop.width, 3], data };
}
