import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { writePng } from "../../src/node/images.ts";
import { readLabels } from "../../src/node/labels.ts";
import type { GrayImage } from "../../src/vision/image.ts";
import { PALETTE } from "../../src/vision/labels.ts";
import { scratch } from "../cli/run.ts";
import { fixture } from "../helpers.ts";
import { indexedPng } from "./indexed_png.ts";

/** Every label, in a width that no depth of bits divides. */
const MAP: GrayImage = { width: 37, height: 19, data: Uint8Array.from({ length: 37 * 19 }, (_, i) => (i * 7) % 19) };
const file = (name = "labels.png") => join(scratch(), name);

test("a grey PNG holds labels as levels", async () => {
  const path = file();
  await writePng(path, MAP);
  expect(await readLabels(path)).toEqual(MAP);
  const { width, height, data } = await readLabels(fixture("masks/00.parse.png"));
  expect([width, height, data.includes(18)]).toEqual([384, 512, true]);
});

test.each([0, 1, 2, 3, 4])("a PNG with a palette of its own holds labels as indices; row filter %d", async (filter) => {
  const path = file();
  const colours = PALETTE.map((_, i) => [255 - i, 40 + i, (i * 91) % 256] as const);
  writeFileSync(path, indexedPng(MAP, { colours, filter }));
  expect(await readLabels(path)).toEqual(MAP);
});

test.each([1, 2, 4])("indices of %d bits", async (depth) => {
  const path = file();
  const map = { ...MAP, data: MAP.data.map((label) => label % 2 ** depth) };
  const colours = PALETTE.slice(0, 2 ** depth).map((_, i) => [250 - i, 3, 99] as const);
  writeFileSync(path, indexedPng(map, { colours, depth }));
  expect(await readLabels(path)).toEqual(map);
});

test("the usual palette's colours hold in any order, and without a palette", async () => {
  const rgb = Uint8Array.from([...MAP.data].flatMap((label) => PALETTE[label]!));
  const [shuffled, plain] = [file(), file("rgb.png")];
  const order = PALETTE.map((_, i) => (i * 5 + 3) % 19); // index i has the colour of label order[i]
  const indices = { ...MAP, data: MAP.data.map((label) => order.indexOf(label)) };
  writeFileSync(shuffled, indexedPng(indices, { colours: order.map((label) => PALETTE[label]!) }));
  await sharp(rgb, { raw: { width: 37, height: 19, channels: 3 } })
    .png()
    .toFile(plain);
  expect(await readLabels(shuffled)).toEqual(MAP);
  expect(await readLabels(plain)).toEqual(MAP);
});

test("what is no label map", async () => {
  const path = file();
  await writePng(path, { ...MAP, data: MAP.data.map((label, i) => (i === 40 ? 19 : label)) });
  await expect(readLabels(path)).rejects.toThrow(`${path}: is no label map: 19 at (3, 1), labels are 0 to 18`);
  await expect(readLabels(fixture("images/astronaut.png"))).rejects.toThrow("its colours are not those of labels");
  writeFileSync(path, readFileSync(fixture("masks/00.parse.png")).subarray(0, 900));
  await expect(readLabels(path)).rejects.toThrow("it is damaged or cut short");
});

test("16 bits a pixel are refused: a decoder's high bytes would all be 0", async () => {
  const path = file();
  const wide = Buffer.from(Uint16Array.from(MAP.data).buffer);
  await sharp(wide, { raw: { width: 37, height: 19, channels: 1, depth: "ushort" } as never })
    .toColourspace("grey16")
    .png()
    .toFile(path);
  expect(readFileSync(path)[24]).toBe(16);
  await expect(readLabels(path)).rejects.toThrow("is no label map: it has 16 bits a pixel, labels 8");
});
