import { FormatError, InputError } from "../util/errors.ts";
import { withText } from "../util/png.ts";
import { toGray, toRgba, type GrayImage, type RgbImage } from "./image.ts";
import { checkLabelNumbers, labelsOfColours } from "./labels.ts";

// Pictures where there is no file system, by what browsers and their workers have: createImageBitmap, OffscreenCanvas.

const MAX_PIXELS = 50e6; // decoded: 200 MB
const RGBA = 4;

/** A file or other bytes that a browser handed out. */
export type Picture = Blob & { readonly name?: string };

const nameOf = (picture: Picture): string => picture.name ?? "the picture";

function canvas(width: number, height: number): [OffscreenCanvas, OffscreenCanvasRenderingContext2D] {
  const surface = new OffscreenCanvas(width, height);
  const context = surface.getContext("2d", { willReadFrequently: true }); // stays in memory, where bytes are exact
  if (!context) throw new InputError("picture", `this browser gives no canvas of ${width}x${height} pixels`);
  return [surface, context];
}

async function decode(picture: Picture, background: string): Promise<RgbImage> {
  const name = nameOf(picture);
  if (picture.size === 0) throw new InputError(name, "the file is empty");
  const bitmap = await createImageBitmap(picture, { imageOrientation: "from-image" }).catch((cause: unknown) => {
    throw new InputError(name, "cannot be read as a picture: it is damaged, or of a kind this browser does not know", {
      cause,
    });
  });
  try {
    const { width, height } = bitmap;
    if (width * height > MAX_PIXELS)
      throw new InputError(name, `${width}x${height} pixels; at most ${MAX_PIXELS / 1e6} million are read`);
    const [, context] = canvas(width, height);
    context.fillStyle = background;
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    return { width, height, data: withoutAlpha(context.getImageData(0, 0, width, height).data) };
  } finally {
    bitmap.close();
  }
}

function withoutAlpha(rgba: Uint8ClampedArray): Uint8Array {
  const data = new Uint8Array((rgba.length / RGBA) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += RGBA) {
    data[to++] = rgba[from]!;
    data[to++] = rgba[from + 1]!;
    data[to++] = rgba[from + 2]!;
  }
  return data;
}

/**
 * A picture that a browser knows (JPEG, PNG, WebP, AVIF …) as 8-bit sRGB: turned as its EXIF says, transparent parts
 * over white; at most 50 million pixels. In Node use `readImage` of `toile/node`.
 * @throws InputError in one line that names the file
 */
export async function readImage(picture: Picture): Promise<RgbImage> {
  return decode(picture, "#ffffff");
}

/** A picture as 8-bit grey, transparent parts black. @throws as `readImage` */
export async function readMask(picture: Picture): Promise<GrayImage> {
  return toGray(await decode(picture, "#000000"));
}

/**
 * A label map: a picture of grey levels 0 to 18, or of the usual palette's colours.
 * @throws InputError in one line that names the file: as `readImage`, and for what is no label
 */
export async function readLabels(picture: Picture): Promise<GrayImage> {
  const labels = labelsOfColours(await decode(picture, "#000000"));
  return checkLabelNumbers(nameOf(picture), labels);
}

/**
 * A picture as the bytes of a PNG, a mask in three equal channels.
 * @param options - `text`: chunks by keyword, as `toile/node` writes them
 * @throws InputError for a text that PNG cannot hold, FormatError when the browser gives no PNG
 */
export async function encodePng(
  image: RgbImage | GrayImage,
  { text = {} }: { readonly text?: Readonly<Record<string, string>> } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { width, height } = image;
  const [surface, context] = canvas(width, height);
  context.putImageData(new ImageData(toRgba(image), width, height), 0, 0);
  const blob = await surface.convertToBlob({ type: "image/png" });
  if (blob.type !== "image/png") throw new FormatError("PNG", `this browser encodes ${blob.type} instead`);
  return withText(new Uint8Array(await blob.arrayBuffer()), text);
}
