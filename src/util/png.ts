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

/** A PNG with text chunks added after its header: tEXt where Latin-1 is enough, else iTXt (PNG 3rd edition, 11.3.3). */
export function withText(png: Uint8Array, text: Readonly<Record<string, string>>): Uint8Array {
  const chunks = Object.entries(text).map(([keyword, value]) => textChunk(keyword, value));
  const parts = [png.subarray(0, AFTER_HEADER), ...chunks, png.subarray(AFTER_HEADER)];
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

function textChunk(keyword: string, value: string): Uint8Array {
  const latin = /^[\u0020-\u007e\u00a0-\u00ff\n]*$/.test(value);
  const head = [...new TextEncoder().encode(keyword.slice(0, 79)), 0];
  // iTXt: not compressed, no method, no language, no translated keyword
  const body = latin ? [...value].map((char) => char.charCodeAt(0)) : [0, 0, 0, 0, ...new TextEncoder().encode(value)];
  return chunk(latin ? "tEXt" : "iTXt", Uint8Array.from([...head, ...body]));
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
