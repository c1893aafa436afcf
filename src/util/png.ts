import { InputError } from "./errors.ts";

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let c = byte;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC_TABLE[(c ^ byte) & 255]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

const AFTER_HEADER = 8 + 25; // signature and the IHDR chunk, which always comes first

/**
 * A PNG with text chunks added after its header: tEXt where Latin-1 is enough, else iTXt (PNG 3rd edition, 11.3.3).
 * @param text by keyword: 1 to 79 Latin-1 characters without spaces at the ends or side by side
 * @throws InputError for another keyword, or a text with a NUL
 */
export function withText(png: Uint8Array, text: Readonly<Record<string, string>>): Uint8Array<ArrayBuffer> {
  const chunks = Object.entries(text).map(([keyword, value]) => textChunk(keyword, value));
  return join([png.subarray(0, AFTER_HEADER), ...chunks, png.subarray(AFTER_HEADER)]);
}

const KEYWORD = /^(?! )(?!.* {2})[\u0020-\u007e\u00a1-\u00ff]{1,79}(?<! )$/;
const LATIN = /^[\n\u0020-\u007e\u00a0-\u00ff]*$/;

function textChunk(keyword: string, value: string): Uint8Array {
  if (!KEYWORD.test(keyword)) throw new InputError("PNG text", `${JSON.stringify(keyword)} cannot be a keyword`);
  if (typeof value !== "string")
    throw new InputError("PNG text", `the text of ${JSON.stringify(keyword)} is ${String(value)}, a string is needed`);
  if (value.includes("\0")) throw new InputError("PNG text", `the text of ${JSON.stringify(keyword)} holds a NUL`);
  const head = latin1(`${keyword}\0`);
  if (LATIN.test(value)) return chunk("tEXt", [head, latin1(value)]);
  // not compressed, no method, no language, no translated keyword
  return chunk("iTXt", [head, new Uint8Array(4), new TextEncoder().encode(value)]);
}

const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

function chunk(type: string, body: readonly Uint8Array[]): Uint8Array {
  const bytes = join([new Uint8Array(4), latin1(type), ...body, new Uint8Array(4)]);
  const view = new DataView(bytes.buffer);
  const end = bytes.length - 4;
  view.setUint32(0, end - 8);
  view.setUint32(end, crc32(bytes.subarray(4, end)));
  return bytes;
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
