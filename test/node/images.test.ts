import { crc32, deflateSync } from "node:zlib";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, describe, expect, test, vi } from "vitest";
import { encodePng, readImage, readMask, writePng } from "../../src/node/images.ts";
import { DeviceError, InputError } from "../../src/util/errors.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { fixture } from "../helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "toile-images-"));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function file(content: Uint8Array | string): string {
  const path = join(folder, `${count++}.bin`); // the name says nothing: the content decides
  writeFileSync(path, content);
  return path;
}

/** 3x2: red, green, blue over black, grey, white. */
const small: RgbImage = {
  width: 3,
  height: 2,
  data: Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 127, 127, 127, 255, 255, 255),
};
const source = () => sharp(small.data, { raw: { width: 3, height: 2, channels: 3 } });

/** A PNG from its parts: what sharp does not write. */
function png(
  width: number,
  height: number,
  depth: number,
  colour: number,
  rows: Uint8Array,
  extra: Buffer[] = [],
): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour, 0, 0, 0], 8);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  const parts = [chunk("IHDR", header), ...extra, chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([signature, ...parts]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const ends = [Buffer.alloc(4), Buffer.alloc(4)] as const;
  ends[0].writeUInt32BE(data.length);
  ends[1].writeUInt32BE(crc32(body));
  return Buffer.concat([ends[0], body, ends[1]]);
}

/** The one line a reader refuses a file with; it begins with the file's name. */
async function refusal(path: string): Promise<string> {
  const error: unknown = await readImage(path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  const { message } = error as InputError;
  expect(message).not.toContain("\n");
  expect(message.startsWith(`${path}: `)).toBe(true);
  return message.slice(path.length + 2);
}

describe("formats", () => {
  test("PNG and lossless WebP, whatever the name", async () => {
    expect(await readImage(file(await source().png().toBuffer()))).toEqual(small);
    expect(await readImage(file(await source().webp({ lossless: true }).toBuffer()))).toEqual(small);
  });

  test("JPEG", async () => {
    const { data, width, height } = await readImage(
      file(await source().jpeg({ quality: 100, chromaSubsampling: "4:4:4" }).toBuffer()),
    );
    expect([width, height]).toEqual([3, 2]);
    for (const [i, byte] of data.entries()) expect(Math.abs(byte - small.data[i]!)).toBeLessThan(6);
  });

  test("grey, one bit, palette", async () => {
    expect([...(await readImage(file(png(2, 1, 8, 0, Uint8Array.of(0, 9, 127))))).data]).toEqual([
      9, 9, 9, 127, 127, 127,
    ]);
    expect([...(await readImage(file(png(2, 1, 1, 0, Uint8Array.of(0, 0b0100_0000))))).data]).toEqual([
      0, 0, 0, 255, 255, 255,
    ]);
    const palette = chunk("PLTE", Buffer.from([1, 2, 3, 200, 100, 50]));
    expect([...(await readImage(file(png(2, 1, 8, 3, Uint8Array.of(0, 1, 0), [palette])))).data]).toEqual([
      200, 100, 50, 1, 2, 3,
    ]);
  });

  test("16 bits become 8", async () => {
    const grey = png(3, 1, 16, 0, Uint8Array.of(0, 0, 0, 0x7f, 0x7f, 0xff, 0xff));
    expect([...(await readImage(file(grey))).data]).toEqual([0, 0, 0, 127, 127, 127, 255, 255, 255]);
    const colour = png(1, 1, 16, 2, Uint8Array.of(0, 0x10, 0x10, 0x80, 0x80, 0xff, 0xff));
    expect([...(await readImage(file(colour))).data]).toEqual([0x10, 0x80, 0xff]);
  });

  test("transparent parts over white; over black in a mask", async () => {
    const rgba = file(png(3, 1, 8, 6, Uint8Array.of(0, 10, 20, 30, 255, 10, 20, 30, 0, 255, 0, 0, 128)));
    const { data } = await readImage(rgba);
    expect([...data.subarray(0, 6)]).toEqual([10, 20, 30, 255, 255, 255]);
    for (const [i, value] of [255, 127, 127].entries()) expect(Math.abs(data[6 + i]! - value)).toBeLessThan(2);
    expect((await readMask(rgba)).data[1]).toBe(0);
    const greyAlpha = file(png(2, 1, 8, 4, Uint8Array.of(0, 50, 255, 50, 0)));
    expect([...(await readImage(greyAlpha)).data]).toEqual([50, 50, 50, 255, 255, 255]);
    const deep = file(
      png(2, 1, 16, 6, Uint8Array.of(0, 0x20, 0x20, 0x40, 0x40, 0x60, 0x60, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0)),
    );
    expect([...(await readImage(deep)).data]).toEqual([0x20, 0x40, 0x60, 255, 255, 255]);
  });

  test("CMYK through its profile, to about the same colour", async () => {
    const bytes = await sharp({ create: { width: 8, height: 8, channels: 3, background: "#c03020" } })
      .toColourspace("cmyk")
      .jpeg({ quality: 100 })
      .toBuffer();
    expect((await sharp(bytes).metadata()).space).toBe("cmyk");
    const { data, width } = await readImage(file(bytes));
    expect([width, data.length]).toEqual([8, 192]);
    for (const [i, value] of [0xc0, 0x30, 0x20].entries()) expect(Math.abs(data[i]! - value)).toBeLessThan(40);
  });

  test("all eight EXIF orientations come out upright", async () => {
    const seen = [];
    for (let orientation = 1; orientation <= 8; orientation++) {
      const bytes = await source().withMetadata({ orientation }).png().toBuffer();
      const { width, height, data } = await readImage(file(bytes));
      const red = data.findIndex((value, i) => i % 3 === 0 && value === 255 && data[i + 1] === 0) / 3;
      seen.push([width, height, red % width, Math.floor(red / width)]); // the stored top left pixel
    }
    expect(seen).toEqual([
      [3, 2, 0, 0],
      [3, 2, 2, 0],
      [3, 2, 2, 1],
      [3, 2, 0, 1],
      [2, 3, 0, 0],
      [2, 3, 1, 0],
      [2, 3, 1, 2],
      [2, 3, 0, 2],
    ]);
  });

  test("of an animation the first frame", async () => {
    const frames = Uint8Array.from({ length: 4 * 12 * 3 }, (_, i) => [10, 90, 200][Math.floor(i / 48)]!);
    const bytes = await sharp(frames, { raw: { width: 4, height: 12, channels: 3, pageHeight: 4 } })
      .webp({ lossless: true, loop: 0, delay: [50, 50, 50] })
      .toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(3);
    expect(await readImage(file(bytes))).toEqual({ width: 4, height: 4, data: new Uint8Array(48).fill(10) });
  });

  test("1x1", async () => {
    expect(await readImage(file(png(1, 1, 8, 2, Uint8Array.of(0, 1, 2, 3))))).toEqual({
      width: 1,
      height: 1,
      data: Uint8Array.of(1, 2, 3),
    });
  });

  test("masks keep their levels: the threshold is at 127", async () => {
    const levels = Uint8Array.from({ length: 256 }, (_, i) => i);
    const grey = file(png(256, 1, 8, 0, Uint8Array.of(0, ...levels)));
    const colour = file(png(256, 1, 8, 2, Uint8Array.of(0, ...[...levels].flatMap((v) => [v, v, v]))));
    for (const path of [grey, colour]) expect(await readMask(path)).toEqual({ width: 256, height: 1, data: levels });
  });
});

describe("refused", () => {
  const whole = readFileSync(fixture("images/astronaut.bicubic.96x128.png"));

  test("missing, a folder, empty", async () => {
    expect(await refusal(join(folder, "none.png"))).toBe("no such file or folder");
    expect(await refusal(folder)).toBe("is a folder, not a file");
    expect(await refusal(file(""))).toBe("the file is empty");
  });

  test("what is no picture, SVG and other formats among it", async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
    const others = [
      svg,
      `<?xml version="1.0"?>${svg}`,
      "GIF89a\x01\0\x01\0",
      "II*\0",
      "hello",
      "\xff",
      await source().tiff().toBuffer(),
    ];
    for (const content of others) expect(await refusal(file(content))).toBe("is not a JPEG, PNG or WebP picture");
  });

  test("cut short anywhere", async () => {
    const photo = sharp(whole);
    const kinds = [whole, await photo.clone().jpeg().toBuffer(), await photo.clone().webp().toBuffer()];
    for (const bytes of kinds)
      for (const share of [0.002, 0.05, 0.5, 0.95])
        expect(await refusal(file(bytes.subarray(0, Math.max(12, Math.floor(bytes.length * share)))))).toMatch(
          /^cannot be decoded, it is damaged or cut short: ./,
        );
  });

  test("bombs, at once", async () => {
    const began = performance.now();
    const rows = Buffer.alloc(20_000 * 2501); // one bit a pixel: 50 MB that deflate to 49 kB
    expect(await refusal(file(png(20_000, 20_000, 1, 0, rows)))).toBe(
      "20000x20000 pixels; at most 50 million and 65535 a side are read",
    );
    expect(await refusal(file(png(2 ** 31 - 1, 2 ** 31 - 1, 8, 2, Buffer.alloc(9))))).toMatch(
      /^cannot be decoded, .*header$/,
    );
    expect(await refusal(file(png(100_000, 1, 8, 0, Buffer.alloc(100_001))))).toMatch(/^100000x1 pixels/);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  test("damaged files: a picture or one line, never anything else", async () => {
    const kinds = [await source().png().toBuffer(), await source().jpeg().toBuffer(), await source().webp().toBuffer()];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...kinds),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        async (good, edits) => {
          const bytes = Buffer.from(good);
          for (const [at, value] of edits) bytes[at % bytes.length] = value;
          const path = file(bytes);
          const image = await readImage(path).catch((error: unknown) => error);
          if (image instanceof Error) {
            expect(image).toBeInstanceOf(InputError);
            expect(image.message.split("\n")).toHaveLength(1);
          } else {
            const { width, height, data } = image as RgbImage;
            expect(data.length).toBe(width * height * 3);
          }
        },
      ),
      { numRuns: 150, seed: 6 },
    );
  });

  test("without sharp: what to install", async () => {
    vi.resetModules();
    vi.doMock("sharp", () => {
      throw new Error("Cannot find package 'sharp'");
    });
    const { readImage: read, encodePng: encode } = await import("../../src/node/images.ts");
    const message = "images: the optional package `sharp` is missing: npm install sharp";
    await expect(read(fixture("images/coffee.png"))).rejects.toMatchObject({ name: DeviceError.name, message });
    await expect(encode(small)).rejects.toMatchObject({ name: DeviceError.name, message });
    vi.doUnmock("sharp");
  });
});

describe("writing", () => {
  test("colour and grey come back as they were, grey as one channel", async () => {
    const path = join(folder, "written.png");
    await writePng(path, small);
    expect(await readImage(path)).toEqual(small);
    const mask = { width: 3, height: 2, data: Uint8Array.of(0, 255, 127, 126, 1, 254) };
    await writePng(path, mask);
    expect(await readMask(path)).toEqual(mask);
    expect(await sharp(path).metadata()).toMatchObject({ channels: 1, depth: "uchar", width: 3, height: 2 });
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("text: tEXt for Latin-1, iTXt for the rest", async () => {
    const text = { parameters: "Steps: 20, Größe 768x1024\nSeed: 1", toile: '{"garment":"服 👗"}', Empty: "" };
    const bytes = await encodePng(small, { text });
    const { comments } = await sharp(bytes).metadata();
    expect(Object.fromEntries(comments!.map((each) => [each.keyword, each.text]))).toMatchObject({ toile: text.toile });
    const kinds = Buffer.from(bytes)
      .toString("latin1")
      .match(/tEXt|iTXt/g);
    expect(kinds).toEqual(["tEXt", "iTXt", "tEXt"]);
    expect(Buffer.from(bytes).includes(Buffer.from(`parameters\0${text.parameters}`, "latin1"))).toBe(true);
    expect(await readImage(file(bytes))).toEqual(small);
  });

  test("every chunk's checksum is right", async () => {
    const bytes = Buffer.from(await encodePng(small, { text: { a: "b".repeat(9000), c: "→" } }));
    const types = [];
    for (let at = 8; at < bytes.length;) {
      const end = at + 8 + bytes.readUInt32BE(at);
      expect(bytes.readUInt32BE(end)).toBe(crc32(bytes.subarray(at + 4, end)));
      types.push(bytes.toString("latin1", at + 4, at + 8));
      at = end + 4;
    }
    expect(types.slice(0, 3)).toEqual(["IHDR", "tEXt", "iTXt"]);
    expect(types.at(-1)).toBe("IEND");
  });

  test("keywords and texts that PNG cannot hold", async () => {
    for (const keyword of ["", " a", "a ", "a  b", "a\nb", "衣", "x".repeat(80)])
      await expect(encodePng(small, { text: { [keyword]: "v" } })).rejects.toThrow(
        /^PNG text: ".*" cannot be a keyword$/,
      );
    await expect(encodePng(small, { text: { a: "v\0w" } })).rejects.toThrow('PNG text: the text of "a" holds a NUL');
  });

  test("a place that cannot be written: one line, nothing left behind", async () => {
    const path = join(folder, "none", "a.png");
    await expect(writePng(path, small)).rejects.toThrow(`${path}: no such file or folder`);
  });
});
