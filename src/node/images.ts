import type { Metadata, Sharp } from "sharp";
import { DeviceError, InputError } from "../util/errors.ts";
import { withText } from "../util/png.ts";
import { channelsOf, toGray, type GrayImage, type RgbImage } from "../vision/image.ts";
import { fileSource, writeFileAtomic } from "./files.ts";

const MAX_PIXELS = 50e6; // decoded: 150 MB
const MAX_SIDE = 65_535; // JPEG's own limit; a PNG one pixel wide may be longer
const MAX_BYTES = 256 * 2 ** 20;

async function loadSharp() {
  const { default: sharp } = await import("sharp").catch((cause: unknown) => {
    throw new DeviceError("images", "the optional package `sharp` is missing: npm install sharp", { cause });
  });
  sharp.cache(false); // pictures are read once; a path may hold another one the next time
  return sharp;
}

/** By the first bytes, never by the name: other decoders, SVG's among them, are never reached. */
function isPicture(bytes: Uint8Array): boolean {
  const begins = (ascii: string, at = 0) => [...ascii].every((char, i) => bytes[at + i] === char.charCodeAt(0));
  return begins("\xff\xd8\xff") || begins("\x89PNG\r\n\x1a\n") || (begins("RIFF") && begins("WEBP", 8));
}

/** libvips puts its details on further lines. */
function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message
    .trim()
    .replaceAll(/:?\s*\n\s*/g, ": ")
    .replace(/:$/, "");
}

const undecodable = (path: string, cause: unknown) =>
  new InputError(path, `cannot be decoded, it is damaged or cut short: ${oneLine(cause)}`, { cause });

/** The bytes of a picture's file, and what its header says. */
async function open(path: string): Promise<{ bytes: Uint8Array; metadata: Metadata }> {
  const source = await fileSource(path);
  try {
    if (source.size === 0) throw new InputError(path, "the file is empty");
    const head = await source.read(0, Math.min(source.size, 12));
    if (!isPicture(head)) throw new InputError(path, "is not a JPEG, PNG or WebP picture");
    if (source.size > MAX_BYTES)
      throw new InputError(path, `the file has ${source.size} bytes, a picture may have ${MAX_BYTES}`);
    const bytes = await source.read(0, source.size);
    const sharp = await loadSharp();
    const metadata = await sharp(bytes, { limitInputPixels: false }) // to say how large; nothing is decoded here
      .metadata()
      .catch((cause: unknown) => {
        throw undecodable(path, cause);
      });
    const { width, height } = metadata;
    if (width * height > MAX_PIXELS || Math.max(width, height) > MAX_SIDE)
      throw new InputError(
        path,
        `${width}x${height} pixels; at most ${MAX_PIXELS / 1e6} million and ${MAX_SIDE} a side are read`,
      );
    return { bytes, metadata };
  } finally {
    await source.close();
  }
}

/** Decoded to 8-bit sRGB, upright, over a background where it is transparent. */
async function decode(path: string, background: string): Promise<RgbImage> {
  const { bytes, metadata } = await open(path);
  const sharp = await loadSharp();
  // The usual camera profile is sRGB by table: a conversion from it to sRGB could only round.
  const isSrgb = metadata.icc?.includes("sRGB IEC61966") ?? false;
  const options = { limitInputPixels: MAX_PIXELS, failOn: "error", pages: 1, ignoreIcc: isSrgb } as const;
  const picture: Sharp = sharp(bytes, options).rotate().flatten({ background }).toColourspace("srgb");
  const { data, info } = await picture
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) => {
      throw undecodable(path, cause);
    });
  const { width, height, channels } = info;
  if (channels === 3) return { width, height, data: new Uint8Array(data) };
  if (channels === 1)
    return { width, height, data: Uint8Array.from({ length: 3 * data.length }, (_, i) => data[Math.floor(i / 3)]!) };
  throw new InputError(path, `decodes to ${channels} channels`);
}

/**
 * A picture as 8-bit sRGB: turned as its EXIF says, transparent parts over white; grey, palette, 16-bit and CMYK
 * pictures converted; of an animation the first frame. JPEG, PNG or WebP, at most 50 million pixels.
 * @throws InputError in one line that names the file: missing, empty, truncated, no picture, too large
 * @throws DeviceError when sharp is not installed
 */
export async function readImage(path: string): Promise<RgbImage> {
  return decode(path, "#ffffff");
}

/** A picture as 8-bit grey, transparent parts black. @throws as `readImage` */
export async function readMask(path: string): Promise<GrayImage> {
  return toGray(await decode(path, "#000000"));
}

export interface PngOptions {
  /** Text chunks by keyword: Pillow's `Image.info`, sharp's `metadata().comments`. */
  readonly text?: Readonly<Record<string, string>>;
}

/**
 * A picture as a PNG of one or three channels.
 * @throws InputError for a text that PNG cannot hold
 * @throws DeviceError when sharp is not installed
 */
export async function encodePng(image: RgbImage | GrayImage, { text = {} }: PngOptions = {}): Promise<Uint8Array> {
  const channels = channelsOf(image);
  const { width, height, data } = image;
  const sharp = await loadSharp();
  const picture = sharp(data, { raw: { width, height, channels }, limitInputPixels: false });
  return withText(
    await picture
      .toColourspace(channels === 1 ? "b-w" : "srgb")
      .png()
      .toBuffer(),
    text,
  );
}

/** Writes a PNG whole or not at all. @throws InputError when the file cannot be written, and as `encodePng` */
export async function writePng(path: string, image: RgbImage | GrayImage, options?: PngOptions): Promise<void> {
  await writeFileAtomic(path, await encodePng(image, options));
}

/**
 * A picture as a JPEG.
 * @param quality - 1…100; from 95 on every pixel keeps its own colour
 * @throws DeviceError when sharp is not installed
 */
export async function encodeJpeg(image: RgbImage, quality: number): Promise<Uint8Array> {
  const { width, height, data } = image;
  const sharp = await loadSharp();
  return sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false })
    .jpeg({ quality, chromaSubsampling: quality >= 95 ? "4:4:4" : "4:2:0" })
    .toBuffer();
}

/** The text chunks of a PNG by keyword; none for other pictures. @throws as `readImage` */
export async function readText(path: string): Promise<Record<string, string>> {
  const { comments = [] } = (await open(path)).metadata;
  return Object.fromEntries(comments.map(({ keyword, text }) => [keyword, text]));
}
