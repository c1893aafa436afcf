import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readImage } from "../../src/node/images.ts";
import { clipPreprocess } from "../../src/vision/clip.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { resize } from "../../src/vision/resize.ts";
import { fixture, loadFixture, relErr } from "../helpers.ts";

const config = JSON.parse(
  readFileSync(fixture("checkpoints/clip-vit-large-patch14/preprocessor_config.json"), "utf8"),
) as Record<string, unknown>;
const raw = { do_normalize: false, do_rescale: false };

const flat = (width: number, height: number, [r, g, b]: readonly [number, number, number]): RgbImage => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => [r, g, b][i % 3]!),
});

/** Every pixel tells where it lies: red = column, green = row. */
const chart = (width: number, height: number): RgbImage => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return [pixel % width, Math.floor(pixel / width), 7][i % 3]!;
  }),
});

describe("against CLIPImageProcessor", () => {
  test.each(["astronaut", "coffee"])("%s, every number", async (name) => {
    const { data, shape } = clipPreprocess(await readImage(fixture(`images/${name}.png`)), config);
    const golden = loadFixture("clip_preprocess.safetensors");
    const planes = [0, 1, 2].map((channel) => {
      const part = (what: string) => golden.get(`clip.${name}.${channel}.${what}`)!.data;
      const table = part("table");
      return part("index").map((index) => table[index]!);
    });
    expect(shape).toEqual([1, 224, 224, 3]);
    const wrong = data.findIndex((value, i) => value !== planes[i % 3]![Math.floor(i / 3)]);
    expect(wrong).toBe(-1);
  });
});

describe("sizes", () => {
  test.each([
    // the long side is cut to an integer, and the crop begins at the integer below the middle
    [50, 75, 4, 6, 0, 1],
    [75, 50, 6, 4, 1, 0],
    [7, 10, 4, 5, 0, 0],
    [10, 10, 4, 4, 0, 0],
    [1, 3, 4, 12, 0, 4],
  ])("%dx%d becomes %dx%d and loses %d columns and %d rows", (width, height, w, h, left, top) => {
    const image = chart(width, height);
    const options = { ...config, ...raw, size: { shortest_edge: 4 }, crop_size: { height: 4, width: 4 } };
    const small = resize(image, w, h, "bicubic");
    const expected = Array.from({ length: 48 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % 4, Math.floor(i / 12)];
      return small.data[((y + top) * w + x + left) * 3 + (i % 3)]!;
    });
    expect([...clipPreprocess(image, options).data]).toEqual(expected);
  });

  test("a crop larger than the picture is black around it, more so above and to the left", () => {
    const options = { ...raw, do_resize: false, crop_size: { height: 4, width: 3 } };
    const { data, shape } = clipPreprocess(flat(2, 1, [9, 9, 9]), options);
    expect(shape).toEqual([1, 4, 3, 3]);
    const grid = Array.from({ length: 4 }, (_, y) => Array.from({ length: 3 }, (_, x) => data[(y * 3 + x) * 3]!));
    expect(grid).toEqual([
      [0, 0, 0],
      [0, 0, 0],
      [0, 9, 9],
      [0, 0, 0],
    ]);
  });

  test("older spellings: numbers for sizes", () => {
    const image = chart(40, 30);
    const old = clipPreprocess(image, { ...config, size: 10, crop_size: 8 });
    expect(old).toEqual(
      clipPreprocess(image, { ...config, size: { shortest_edge: 10 }, crop_size: { height: 8, width: 8 } }),
    );
    expect(clipPreprocess(image, { ...raw, size: { height: 5, width: 9 }, do_center_crop: false }).shape).toEqual([
      1, 5, 9, 3,
    ]);
  });
});

test("without a config the numbers are CLIP's own", () => {
  const white = clipPreprocess(flat(3, 5, [255, 255, 255]));
  expect(relErr(white.data, clipPreprocess(flat(3, 5, [255, 255, 255]), config).data)).toBe(0);
  expect(white.data[0]).toBeCloseTo((1 - 0.48145466) / 0.26862954, 6);
});

test("a config that is not sound is refused in one line that names the field", () => {
  const refused = (patch: Record<string, unknown>) => () =>
    clipPreprocess(flat(2, 2, [0, 0, 0]), { ...config, ...patch });
  expect(refused({ resample: 5 })).toThrow("preprocessor_config.json: resample: 5 is not one of 0, 1, 2, 3");
  expect(refused({ size: { shortest_edge: 0 } })).toThrow(/^preprocessor_config.json: size.shortest_edge: .+$/);
  expect(refused({ image_std: [1, 0, 1] })).toThrow(/^preprocessor_config.json: image_std.1: .+$/);
  expect(refused({ image_mean: [1, 2] })).toThrow(/^preprocessor_config.json: image_mean: .+$/);
  expect(() => clipPreprocess(flat(2, 2, [0, 0, 0]), [])).toThrow(/^preprocessor_config.json: config: .+$/);
});
