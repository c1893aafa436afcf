import { z } from "zod";
import { InputError } from "../util/errors.ts";
import type { RgbImage } from "./image.ts";
import { resize, type Filter } from "./resize.ts";

/** Pillow's numbers for its filters. */
const FILTERS = new Map<number, Filter>([
  [0, "nearest"],
  [1, "lanczos"],
  [2, "bilinear"],
  [3, "bicubic"],
]);

const side = z.number().int().positive().max(8192);
const pair = z.object({ height: side, width: side });
const triple = z.tuple([z.number(), z.number(), z.number()]);

/** preprocessor_config.json with CLIPImageProcessor's own defaults; other fields are passed over. */
const schema = z.object({
  do_resize: z.boolean().default(true),
  size: z
    .union([z.object({ shortest_edge: side }), pair, side.transform((shortest_edge) => ({ shortest_edge }))])
    .default({ shortest_edge: 224 }),
  resample: z
    .number()
    .default(3)
    .transform((number, context) => {
      const filter = FILTERS.get(number);
      if (!filter) context.addIssue(`${number} is not one of ${[...FILTERS.keys()].join(", ")}`);
      return filter ?? z.NEVER;
    }),
  do_center_crop: z.boolean().default(true),
  crop_size: z.union([pair, side.transform((n) => ({ height: n, width: n }))]).default({ height: 224, width: 224 }),
  do_rescale: z.boolean().default(true),
  rescale_factor: z.number().default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: triple.default([0.48145466, 0.4578275, 0.40821073]),
  image_std: z
    .tuple([z.number().positive(), z.number().positive(), z.number().positive()])
    .default([0.26862954, 0.26130258, 0.27577711]),
});

type Config = z.output<typeof schema>;

/** Numbers for the vision tower. */
export interface Pixels {
  /** [1, height, width, 3]. */
  readonly shape: readonly [1, number, number, 3];
  readonly data: Float32Array;
}

/**
 * CLIP's preprocessing as transformers' CLIPImageProcessor does it: the short edge resized, the centre cropped (what
 * the crop lacks is black), bytes scaled and normalised per channel in float32.
 * @param config the checkpoint's preprocessor_config.json
 * @returns [1, crop height, crop width, 3]
 * @throws InputError naming each field of the config that is malformed or not supported
 */
export function clipPreprocess(image: RgbImage, config: unknown = {}): Pixels {
  const parsed = schema.safeParse(config);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "config"}: ${message}`);
    throw new InputError("preprocessor_config.json", issues.join("; "));
  }
  const options = parsed.data;
  const small = options.do_resize ? shrink(image, options) : image;
  const { height, width } = options.do_center_crop ? options.crop_size : small;
  const [top, left] = [Math.floor((small.height - height) / 2), Math.floor((small.width - width) / 2)];
  const tables = [0, 1, 2].map((channel) => levels(channel, options));
  const data = new Float32Array(height * width * 3);
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [row, column] = [y + top, x + left];
      const inside = row >= 0 && row < small.height && column >= 0 && column < small.width;
      const from = inside ? (row * small.width + column) * 3 : -1;
      for (const [channel, table] of tables.entries()) data[to++] = table[inside ? small.data[from + channel]! : 0]!;
    }
  return { shape: [1, height, width, 3], data };
}

function shrink(image: RgbImage, { size, resample }: Config): RgbImage {
  if ("width" in size) return resize(image, size.width, size.height, resample);
  const { shortest_edge: short } = size;
  const long = Math.trunc((short * Math.max(image.width, image.height)) / Math.min(image.width, image.height));
  return image.width <= image.height ? resize(image, short, long, resample) : resize(image, long, short, resample);
}

/** What each byte of a channel becomes, each operation rounded to float32. */
function levels(channel: number, options: Config): Float32Array {
  const [mean, deviation] = [options.image_mean[channel]!, options.image_std[channel]!].map(Math.fround) as [
    number,
    number,
  ];
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const scaled = options.do_rescale ? Math.fround(byte * options.rescale_factor) : byte;
    return options.do_normalize ? Math.fround(scaled - mean) / deviation : scaled;
  });
}
