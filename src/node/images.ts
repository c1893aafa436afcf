import type { Metadata, Sharp } from "sharp";
import { readFile, stat } from "node:fs/promises";
import { DeviceError, InputError } from "../util/errors.ts";
import { withText } from "../util/png.ts";
import { channelsOf, type GrayImage, type RgbImage } from "../vision/image.ts";
import { writeFileAtomic } from "./files.ts";

const MAX_PIXELS = 50e6; // a decoded picture of 150 MB
const MAX_BYTES = 256 * 2 ** 20;
const FORMATS = ["jpeg", "png", "webp"];

async function loadSharp() {
  const { default: sharp } = await import("sharp").catch(() => {
    throw new DeviceError("images", "the optional package `sharp` is not installed: npm install sharp");
  });
  sharp.cache(false);
  return sharp;
}

/** The picture of a file, decoded as far as its header: format and size are allowed. */
async function open(path: string): Promise<{ picture: Sharp; metadata: Metadata }> {
  const sharp = await loadSharp();
  const refuse = (what: string) => new InputError(path, what);
  const file = await stat(path).catch(() => undefined);
  if (!file) throw refuse("no such file");
  if (!file.isFile()) throw refuse("is not a file");
  if (file.size === 0) throw refuse("the file is empty");
  if (file.size > MAX_BYTES) throw refuse(`${file.size} bytes; pictures of at most ${MAX_BYTES} are read`);
  const bytes = await readFile(path);
  const format = sniff(bytes);
  if (!format) throw refuse(`is not a picture that can be read (${FORMATS.join(", ")})`);
  const options = { limitInputPixels: MAX_PIXELS, failOn: "error", pages: 1 } as const;
  const metadata = await sharp(bytes, options)
    .metadata()
    .catch((error: unknown) => Promise.reject(refuse(reason(error))));
  return { picture: sharp(bytes, options), metadata };
}

/** By the first bytes, never by the name. */
function sniff(bytes: Uint8Array): string | undefined {
  const ascii = (start: number, end: number) => String.fromCharCode(...bytes.subarray(start, end));
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "jpeg";
  if (ascii(1, 4) === "PNG" && bytes[0] === 0x89) return "png";
  return ascii(0, 4) === "RIFF" && ascii(8, 12) === "WEBP" ? "webp" : undefined;
}

const reason = (error: unknown) => {
  const line = String((error as Error).message).split("\n")[0]!;
  return /pixel limit/i.test(line) ? `has more than ${MAX_PIXELS / 1e6} million pixels` : `cannot be decoded: ${line}`;
};

/**
 * A picture as 8-bit colour: rotated as its EXIF says, transparent parts over white, grey, 16-bit and CMYK converted,
 * of an animation the first frame.
 * @throws InputError in one line that names the file: missing, empty, truncated, no picture, too large
 */
export async function readImage(path: string): Promise<RgbImage> {
  const { picture } = await open(path);
  return raw(path, picture.rotate().flatten({ background: "#ffffff" }).toColourspace("srgb").removeAlpha(), 3);
}

/** A picture as 8-bit grey, for masks. @throws InputError as `readImage` */
export async function readMask(path: string): Promise<GrayImage> {
  const { picture } = await open(path);
  return raw(path, picture.rotate().flatten({ background: "#000000" }).toColourspace("b-w").removeAlpha(), 1);
}

async function raw(path: string, picture: Sharp, channels: 1 | 3): Promise<RgbImage> {
  const { data, info } = await picture
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => Promise.reject(new InputError(path, reason(error))));
  const { width, height } = info;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
  if (info.channels === channels) return { width, height, data: bytes.slice() };
  if (info.channels === 1 && channels === 3) return { width, height, data: Uint8Array.from({ length: width * height * 3 }, (_, i) => bytes[Math.floor(i / 3)]!) };
  throw new InputError(path, `decodes to ${info.channels} channels instead of ${channels}`);
}

export interface PngOptions {
  /** Text chunks, readable by Pillow and browsers' tools. */
  readonly text?: Readonly<Record<string, string>>;
}

/** A picture as PNG. */
export async function encodePng(image: RgbImage | GrayImage, { text = {} }: PngOptions = {}): Promise<Uint8Array> {
  const sharp = await loadSharp();
  const { width, height } = image;
  const channels = channelsOf(image);
  const picture = sharp(image.data, { raw: { width, height, channels } });
  return withText(await (channels === 1 ? picture.toColourspace("b-w") : picture).png().toBuffer(), text);
}

/** Writes a PNG whole or not at all. */
export async function writePng(path: string, image: RgbImage | GrayImage, options?: PngOptions): Promise<void> {
  await writeFileAtomic(path, await encodePng(image, options));
}
