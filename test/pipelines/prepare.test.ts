import { describe, expect, test } from "vitest";
import type { GeneratedMask } from "../../src/pipelines/mask.ts";
import { preparePictures, type MaskMaker } from "../../src/pipelines/pictures.ts";
import type { TryOnInputs } from "../../src/pipelines/inputs.ts";
import { resolveInputs } from "../../src/pipelines/settings.ts";
import { EmptyMaskError } from "../../src/util/errors.ts";
import type { GrayImage, RgbImage } from "../../src/vision/image.ts";
import { LABEL } from "../../src/vision/labels.ts";
import { resize, type Box } from "../../src/vision/resize.ts";

// No device: the networks are stood in for by a parser that reads labels off the picture's red channel.

const colour = (width: number, height: number, boxes: readonly [label: number, box: Box][] = []): RgbImage => {
  const data = new Uint8Array(width * height * 3);
  for (const [label, [left, top, right, bottom]] of boxes)
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) data[3 * (y * width + x)] = label * 10;
  return { width, height, data };
};

const grey = (width: number, height: number, white?: Box): GrayImage => {
  const { data } = colour(width, height, white && [[1, white]]);
  return { width, height, data: Uint8Array.from({ length: width * height }, (_, i) => (data[3 * i]! > 0 ? 255 : 0)) };
};

/** Masks upper clothes; counts how often it is asked. */
function parser(people = 1): { readonly make: MaskMaker; readonly asked: () => number } {
  let count = 0;
  const make = async (picture: RgbImage): Promise<GeneratedMask> => {
    count++;
    const { data } = resize(picture, 384, 512, "nearest");
    const labels = {
      width: 384,
      height: 512,
      data: new Uint8Array(384 * 512).map((_, i) => Math.round(data[3 * i]! / 10)),
    };
    const small = { ...labels, data: labels.data.map((label) => (label === LABEL.upper ? 255 : 0)) };
    const mask = resize(small, picture.width, picture.height, "nearest");
    return { mask, labels, pose: undefined, people, picture, timings: { pose: 0, parse: 0, mask: 0 } };
  };
  return { make, asked: () => count };
}

const garment = colour(30, 40);
const prepare = (inputs: Omit<TryOnInputs, "garment">, { make } = parser()) => {
  const all = { width: 96, height: 128, ...inputs, garment };
  return preparePictures(all, resolveInputs("hd", all), make);
};

describe("a given mask", () => {
  const person = colour(120, 160);

  test("that says nothing is refused, whatever the photo's shape and its own", async () => {
    for (const photo of [person, colour(200, 100)]) {
      const black = prepare({ person: photo, mask: grey(7, 9) });
      await expect(black).rejects.toThrow(new EmptyMaskError("mask", "it is all black: there is nothing to paint"));
      const white = prepare({ person: photo, mask: grey(7, 9, [0, 0, 7, 9]) });
      await expect(white).rejects.toThrow("mask: it is all white: nothing of the person would be kept");
    }
  });

  test("of a pixel that the output has no room for", async () => {
    const dot = grey(1200, 1600, [601, 801, 602, 802]);
    await expect(prepare({ person, mask: dot })).rejects.toThrow("mask: nothing of it is left at 96x128");
  });

  test("of another shape than the photo's is said", async () => {
    const { warnings } = await prepare({ person: colour(300, 200), mask: grey(96, 128, [30, 30, 60, 60]) });
    expect(warnings).toContain(
      "the mask is 96x128, of another shape than the person's picture of 300x200: it is stretched over it",
    );
    const same = await prepare({ person: colour(300, 200), mask: grey(150, 101, [30, 30, 60, 60]) });
    expect(same.warnings.join()).not.toContain("the mask is");
  });
});

describe("several garments and a given mask", () => {
  const person = colour(120, 160);
  const worn = { person, moreGarments: [{ garment, category: "lowerbody" as const }] };
  const all = { width: 96, height: 128, garment };
  const both = async (inputs: Partial<TryOnInputs>) => {
    const given = { ...all, ...worn, ...inputs };
    return preparePictures(given, resolveInputs("dc", given), parser().make);
  };
  const mask = grey(12, 16, [3, 4, 9, 14]);
  const [above, below] = [grey(12, 16, [0, 0, 12, 8]), grey(12, 16, [0, 8, 12, 16])];

  test("share it, which is said", async () => {
    const { warnings, regions } = await both({ mask });
    expect(warnings).toContain(
      "one mask is given for upperbody and lowerbody: it must hold all of it, and each garment may go anywhere in it",
    );
    expect(regions[0]).toBe(regions[1]);
    const { warnings: none } = await both({ mask, moreGarments: [{ garment, category: "upperbody" }] });
    expect(none.join()).not.toMatch(/one mask/);
  });

  test("go each where their regions say, within it", async () => {
    const { warnings, regions } = await both({ mask, regions: [above, below] });
    expect(warnings.join()).not.toMatch(/one mask/);
    const white = (at: GrayImage) => Array.from({ length: 128 }, (_, y) => at.data[96 * y + 48]! > 0);
    expect(white(regions[0]!)).toEqual(Array.from({ length: 128 }, (_, y) => y >= 32 && y < 64));
    expect(white(regions[1]!)).toEqual(Array.from({ length: 128 }, (_, y) => y >= 64 && y < 112));
    await expect(both({ mask, regions: [above] })).rejects.toThrow("try-on: 1 regions for 2 garments");
  });
});

describe("cropping", () => {
  // A tall photo: head and clothes near its lower end, somebody else at the top.
  const head: [number, Box] = [LABEL.face, [130, 620, 170, 670]];
  const clothes: [number, Box] = [LABEL.upper, [100, 670, 200, 880]];
  const legs: [number, Box] = [LABEL.pants, [110, 880, 190, 980]];
  const other: [number, Box] = [LABEL.pants, [140, 10, 170, 60]];
  const person = colour(300, 1000, [head, clothes, legs, other]);

  test("keeps the person whom a generated mask dresses, head and legs included, not others", async () => {
    const { place } = await prepare({ person, fit: "crop" });
    expect(place.source).toEqual([0, 600, 300, 1000]); // around 620…980, which is its middle 800
  });

  test("is not led by a mask that only changes the generated one", async () => {
    const mask = grey(300, 1000, [100, 20, 200, 40]);
    const { place } = await prepare({ person, fit: "crop", mask, maskCombine: "subtract" });
    expect(place.source).toEqual([0, 600, 300, 1000]);
    const alone = await prepare({ person, fit: "crop", mask });
    expect(alone.place.source).toEqual([0, 0, 300, 400]);
  });

  test("looks twice only at a picture that is cropped", async () => {
    const [tall, right] = [parser(), parser()];
    await prepare({ person, fit: "crop" }, tall);
    await prepare({ person: colour(120, 160, [[LABEL.upper, [40, 40, 80, 100]]]), fit: "crop" }, right);
    expect([tall.asked(), right.asked()]).toEqual([2, 1]);
  });
});

test("several people are said", async () => {
  const person = colour(120, 160, [[LABEL.upper, [40, 40, 80, 100]]]);
  expect((await prepare({ person }, parser(3))).warnings).toContain(
    "3 people were found in the person's picture: the foremost is dressed",
  );
  expect((await prepare({ person }, parser(1))).warnings.join()).not.toContain("people");
});
