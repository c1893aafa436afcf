import sharp from "sharp";
import { fixture } from "../../helpers.ts";

/** A picture as [1, h, w, 3] in -1…1. */
export async function pixels(path: string): Promise<{ data: Float32Array; shape: number[] }> {
  const { data, info } = await sharp(fixture(path))
    .removeAlpha()
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data: Float32Array.from(data, (value) => value / 127.5 - 1), shape: [1, info.height, info.width, 3] };
}
