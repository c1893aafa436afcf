import { describe, expect, test } from "vitest";
import { NonFiniteError, ShapeError } from "../../src/util/errors.ts";
import {
  binarise,
  channelsOf,
  compositeGray,
  fromFloat,
  toFloat,
  toGray,
  type RgbImage,
} from "../../src/vision/image.ts";

const bytes = Uint8Array.from({ length: 256 * 3 }, (_, i) => Math.floor(i / 3));
const ramp: RgbImage = { width: 16, height: 16, data: bytes };

describe("toFloat", () => {
  test("-1…1, as float32 rounds x / 255 * 2 - 1", () => {
    const values = toFloat(ramp);
    expect([values[0], values.at(-1)]).toEqual([-1, 1]);
    expect([...values]).toEqual(Array.from(bytes, (byte) => Math.fround(Math.fround(byte / 255) * 2 - 1)));
    for (const [i, value] of values.entries()) expect(Math.abs(value - (bytes[i]! / 127.5 - 1))).toBeLessThan(1e-7);
  });

  test("there and back is the same picture", () => {
    const unit = toFloat(ramp).map((value) => value / 2 + 0.5);
    expect(fromFloat(unit, 16, 16)).toEqual(ramp);
  });
});

describe("fromFloat", () => {
  test("halves go to the even byte, what lies outside is clipped", () => {
    const values = Float32Array.of(0.5 / 255, 1.5 / 255, 2.5 / 255, 0.5, 1, 0, -0.2, 1.7, Infinity);
    // 127.5 is exact; the float32 nearest to 1.5 / 255 and its like times 255 round back to the halves
    expect([...fromFloat(values, 3, 1).data]).toEqual([0, 2, 2, 128, 255, 0, 0, 255, 255]);
  });

  test("NaN and wrong counts are refused", () => {
    expect(() => fromFloat(Float32Array.of(0, NaN, 0), 1, 1)).toThrow(NonFiniteError);
    expect(() => fromFloat(new Float32Array(4), 1, 1)).toThrow("fromFloat: 4 numbers for 1x1 pixels");
  });
});

describe("masks", () => {
  test("binarise: 126 is black, 127 is white", () => {
    const mask = { width: 5, height: 1, data: Uint8Array.of(0, 126, 127, 128, 255) };
    expect([...binarise(mask).data]).toEqual([0, 0, 255, 255, 255]);
    expect([...mask.data]).toEqual([0, 126, 127, 128, 255]);
  });

  test("compositeGray: white gives the level, black the picture", () => {
    const mask = { width: 16, height: 16, data: Uint8Array.from({ length: 256 }, (_, i) => (i % 2) * 255) };
    const { data } = compositeGray(ramp, mask, 127);
    expect([...data]).toEqual(Array.from(bytes, (byte) => (byte % 2 ? 127 : byte)));
  });

  test("compositeGray: grey blends as Pillow's Image.composite", () => {
    const levels = [0, 1, 17, 100, 127, 128, 200, 254, 255, 33, 66, 99];
    const data = Uint8Array.from(levels.flatMap((level) => [level, 255 - level, (level * 7) % 256]));
    const mask = Uint8Array.of(0, 1, 64, 127, 128, 191, 254, 255, 3, 77, 130, 200);
    const [width, height] = [levels.length, 1];
    const blended = compositeGray({ width, height, data }, { width, height, data: mask }, 127);
    // prettier-ignore
    expect([...blended.data]).toEqual([0, 255, 0, 1, 254, 7, 45, 210, 121, 113, 141, 158, 127, 127, 124, 127, 127, 127, 127, 127, 127, 127, 127, 127, 253, 1, 248, 61, 193, 200, 97, 157, 166, 121, 133, 139]);
  });

  test("compositeGray: sizes that differ", () => {
    const mask = { width: 8, height: 32, data: new Uint8Array(256) };
    expect(() => compositeGray(ramp, mask, 127)).toThrow("compositeGray: mask is 8x32, image is 16x16");
  });
});

test("toGray is Pillow's convert(L)", () => {
  // prettier-ignore
  const rgb = [0, 0, 0, 255, 255, 255, 127, 127, 127, 128, 128, 128, 255, 0, 0, 0, 255, 0, 0, 0, 255, 12, 200, 77, 250, 3, 129, 1, 1, 2];
  expect([...toGray({ width: 5, height: 2, data: Uint8Array.from(rgb) }).data]).toEqual([
    0, 255, 127, 128, 76, 150, 29, 130, 91, 1,
  ]);
});

test("bytes that fit neither colour nor grey", () => {
  expect(channelsOf(ramp)).toBe(3);
  expect(channelsOf({ width: 16, height: 48, data: bytes })).toBe(1);
  for (const [width, height] of [
    [16, 24],
    [0, 0],
    [NaN, 1],
    [16, -16],
  ])
    expect(() => channelsOf({ width: width!, height: height!, data: bytes })).toThrow(ShapeError);
});
