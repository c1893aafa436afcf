import { describe, expect, test } from "vitest";
import type { Sleeve } from "../../../src/training/data/draw/garment.ts";
import { paintPerson, type Scene } from "../../../src/training/data/draw/scene.ts";
import { drawnDataset, sceneOf, sleeveOf, type DrawnOptions } from "../../../src/training/data/drawn.ts";
import { heldOut, summarise, type HeldOut } from "../../../src/training/data/held_out.ts";
import { compositeGray, type RgbImage } from "../../../src/vision/image.ts";

const half: DrawnOptions = {
  ...{ seed: 0xb0a710ad, width: 64, height: 96 },
  ...{ framing: "half", pairing: "unpaired", mask: { model: "hd" } },
};
const whole: DrawnOptions = { ...half, framing: "whole", categories: ["upperbody", "dress"], mask: { model: "dc" } };
const COUNT = 24;

const known = new Map<string, Promise<HeldOut>>();

/** Pairs are drawn once. */
function pairOf(options: DrawnOptions, index: number): Promise<HeldOut> {
  const key = `${options.framing} ${index}`;
  if (!known.has(key)) known.set(key, heldOut(options, index));
  return known.get(key)!;
}

/** Scores of pictures that `picture` gives for each pair. */
async function scores(options: DrawnOptions, picture: (pair: HeldOut, index: number) => RgbImage | Promise<RgbImage>) {
  const found = [];
  for (let index = 0; index < COUNT; index++) {
    const pair = await pairOf(options, index);
    found.push(pair.measure(await picture(pair, index)));
  }
  return summarise(found);
}

const truthOf = ({ sample }: HeldOut) => sample.truth!;

/** A picture seen through a weak lens: the mean over 3 x 3 pixels. */
function blurred({ width, height, data }: RgbImage): RgbImage {
  const soft = data.map((_, at) => {
    const [x, y, c] = [Math.floor(at / 3) % width, Math.floor(at / 3 / width), at % 3];
    const near: number[] = [];
    for (let j = Math.max(0, y - 1); j <= Math.min(height - 1, y + 1); j++)
      for (let i = Math.max(0, x - 1); i <= Math.min(width - 1, x + 1); i++) near.push(data[3 * (j * width + i) + c]!);
    return near.reduce((sum, value) => sum + value, 0) / near.length;
  });
  return { width, height, data: soft };
}

describe.each([
  ["half figures", half],
  ["whole figures", whole],
] as const)("held-out %s", (_, options) => {
  test("true pictures reach the best of everything", async () => {
    const found = await scores(options, truthOf);
    expect(found).toMatchObject({ errorRatio: 0, sleeveShare: 1, colourShare: 1, colour: 0, sleeved: COUNT });
    expect(Object.keys(found.sleeves)).toHaveLength(3); // all three sleeves occur, or the share means little
  });

  test("somewhat blurred ones still show their sleeves and colours", async () => {
    const found = await scores(options, (pair) => blurred(truthOf(pair)));
    expect(found.sleeveShare).toBeGreaterThan(0.95);
    expect(found.colourShare).toBeGreaterThan(0.95);
    expect(found.errorRatio).toBeGreaterThan(0.02);
  });

  test("grey ones fail", async () => {
    const found = await scores(options, ({ sample }) => compositeGray(sample.person, sample.mask, 127));
    expect(found.errorRatio).toBe(1);
    expect(found.sleeveShare).toBeLessThan(0.6);
    expect(found.colourShare).toBeLessThan(0.2);
  });

  test("the same people in the next pair's garment fail", async () => {
    const found = await scores(options, (_, index) => {
      const shuffled = { ...sceneOf(options, index), other: sceneOf(options, index + 1).other };
      return paintPerson(shuffled, "other", options.width, options.height).person;
    });
    expect(found.errorRatio).toBeGreaterThan(0.5);
    expect(found.sleeveShare).toBeLessThan(0.75);
    expect(found.colourShare).toBeLessThan(0.35);
  });

  test("a garment with other sleeves is seen to have them", async () => {
    for (const sleeve of ["none", "short", "long"] as const) {
      const found = await scores(options, (_, index) => {
        const scene = sceneOf(options, index);
        const worn = { ...scene.other, cut: { ...scene.other.cut, sleeve } };
        return paintPerson({ ...scene, other: worn } satisfies Scene, "other", options.width, options.height).person;
      });
      expect(Object.keys(found.sleeves).map((key) => key.split("→")[1])).toEqual([sleeve, sleeve, sleeve]);
    }
  });
});

test("paired people are measured in their own garment, trousers have no sleeves", async () => {
  const options: DrawnOptions = { ...whole, pairing: "paired", categories: ["lowerbody", "upperbody"] };
  const [trousers, top] = [await heldOut(options, 0), await heldOut(options, 1)];
  expect(trousers.measure(trousers.sample.person)).toMatchObject({
    error: 0,
    sleeve: undefined,
    trueSleeve: undefined,
  });
  const expected: Sleeve = sleeveOf(options, 1);
  expect(top.measure(top.sample.person)).toMatchObject({ error: 0, sleeve: expected, trueSleeve: expected });
  expect(top.sample).toEqual(await drawnDataset(options).get(1));
});
