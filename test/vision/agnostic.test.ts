import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readMask } from "../../src/node/images.ts";
import { EmptyMaskError, InputError } from "../../src/util/errors.ts";
import { agnosticMask, combineMasks, type AgnosticOptions } from "../../src/vision/agnostic.ts";
import { findContours } from "../../src/vision/contours.ts";
import type { GrayImage } from "../../src/vision/image.ts";
import { LABEL } from "../../src/vision/labels.ts";
import { dilateBox, fillHoles } from "../../src/vision/morphology.ts";
import { fixture } from "../helpers.ts";
import { figure } from "./people.ts";

interface Case {
  readonly parse: string;
  readonly keypoints: readonly (readonly [number, number])[];
}
const CASES = JSON.parse(readFileSync(fixture("masks/index.json"), "utf8")) as readonly Case[];
const KINDS = [
  ["hd", "upperbody", "upper_body"],
  ["dc", "upperbody", "upper_body"],
  ["dc", "lowerbody", "lower_body"],
  ["dc", "dress", "dresses"],
] as const;

/** Pixels of one mask that are not in another. */
function outside(small: GrayImage, large: GrayImage): number {
  let count = 0;
  for (let i = 0; i < small.data.length; i++) if (small.data[i]! > large.data[i]!) count++;
  return count;
}

const count = ({ data }: GrayImage) => data.reduce((sum, value) => sum + (value === 0 ? 0 : 1), 0);

describe("against get_mask_location", () => {
  test.each(KINDS)("%s, %s: 12 masks, but for holes of a border that crosses itself", async (model, category, name) => {
    const different: string[] = [];
    for (const [i, { parse, keypoints }] of CASES.entries()) {
      const expected = await readMask(fixture(`masks/${String(i).padStart(2, "0")}.${model}.${name}.png`));
      const pose = keypoints.map(([x, y]) => ({ x, y }));
      const mask = agnosticMask(await readMask(fixture(`masks/${parse}`)), pose, { model, category });
      expect(outside(expected, mask), parse).toBe(0);
      const more = outside(mask, expected);
      expect(more, parse).toBeLessThan(0.001 * count(expected)); // intersection over union above 0.999
      if (more > 0) different.push(parse);
    }
    // The one figure, in two of its four masks, where the published mask has such a hole; the other 46 are equal.
    expect(different).toEqual(model === "dc" && category !== "lowerbody" ? ["04.parse.png"] : []);
  });
});

const KEPT = [LABEL.hat, LABEL.sunglasses, LABEL.face, LABEL.leftShoe, LABEL.rightShoe, LABEL.bag] as const;
const CATEGORIES = ["upperbody", "lowerbody", "dress"] as const;

/** Masked pixels of kept labels. */
function trespass({ data }: GrayImage, labels: GrayImage): number {
  const kept = Uint8Array.from({ length: 19 }, (_, label) => (KEPT.some((one) => one === label) ? 1 : 0));
  let count = 0;
  for (let i = 0; i < data.length; i++) if (data[i] !== 0) count += kept[labels.data[i]!]!;
  return count;
}

test("500 random figures: one piece; hat, face, shoes, bag kept; never less by growing", { timeout: 240_000 }, () => {
  const FIGURES = 500;
  let empty = 0;
  for (let seed = 0; seed < FIGURES; seed++) {
    const { labels, pose } = figure(seed);
    const options = { model: seed % 2 === 0 ? "hd" : "dc", category: CATEGORIES[seed % 3]! } as const;
    const make = (more: Partial<AgnosticOptions>) => agnosticMask(labels, pose, { ...options, ...more });
    try {
      const mask = make({ mode: "reference" });
      const borders = findContours(mask, { simplify: false }).map(({ hole }) => hole);
      expect(borders, `reference of figure ${seed}: one component and no hole`).toEqual([false]);
      const guarded = make(seed % 4 < 2 ? { mode: "generous" } : { protect: { face: true, shoes: true, bag: true } });
      expect(trespass(guarded, labels), `figure ${seed}`).toBe(0);
      const mode = seed % 8 < 4 ? "generous" : "reference";
      const before = mode === "reference" ? mask : seed % 4 < 2 ? guarded : make({ mode });
      const after = make({ mode, grow: 1 + (seed % 30) });
      expect(outside(before, after), `figure ${seed}`).toBe(0);
      expect(outside(after, before), `figure ${seed}`).toBeGreaterThan(0);
      expect(trespass(after, labels), `figure ${seed}`).toBe(trespass(before, labels));
    } catch (error) {
      if (!(error instanceof EmptyMaskError)) throw error;
      empty++; // a figure without a garment of the category
    }
  }
  expect(empty).toBeLessThan(FIGURES / 20);
});

test("growing more never masks less", () => {
  const { labels, pose } = figure(3);
  let before: GrayImage | undefined;
  for (const grow of [0, 1, 2, 5, 11, 40, 100]) {
    const after = agnosticMask(labels, pose, { model: "dc", category: "dress", mode: "generous", grow });
    if (before) expect(outside(before, after)).toBe(0);
    before = after;
  }
});

describe("the reference's tail", () => {
  test("hat, face, shoes and bag: only where the garment encloses them, and its rim by the polygon", () => {
    const [RIM, SHARE] = [8, 0.05]; // pixels that the simplified border leaves the exact one; of the mask, at most
    for (let seed = 0; seed < 40; seed++) {
      const { labels, pose } = figure(seed);
      const options = { model: seed % 2 === 0 ? "hd" : "dc", category: CATEGORIES[seed % 3]! } as const;
      const mask = agnosticMask(labels, pose, options);
      const bare = { ...mask, data: mask.data.map((on, i) => (KEPT.some((one) => one === labels.data[i]) ? 0 : on)) };
      const [closed, rim] = [fillHoles(bare).data, dilateBox(bare, 2 * RIM + 1).data];
      const far = mask.data.filter((on, i) => on !== 0 && closed[i] === 0 && rim[i] === 0);
      expect(far.length, `figure ${seed}`).toBe(0);
      expect(trespass(mask, labels), `figure ${seed}`).toBeLessThan(SHARE * count(mask));
    }
  });

  // Why `reference` alone cannot promise what the switches do: it closes holes and simplifies the rim.
  test("masks a bag that the garment encloses; protection keeps it", () => {
    const labels = torso();
    for (let y = 200; y < 230; y++) labels.data.fill(LABEL.bag, y * 384 + 180, y * 384 + 200);
    const options = { model: "dc", category: "upperbody" } as const;
    expect(trespass(agnosticMask(labels, undefined, options), labels)).toBe(600);
    expect(trespass(agnosticMask(labels, undefined, { ...options, protect: { bag: true } }), labels)).toBe(0);
  });
});

/** A box of upper clothes. */
function torso(width = 384, height = 512): GrayImage {
  const data = new Uint8Array(width * height);
  for (let y = Math.round(0.25 * height); y < 0.6 * height; y++)
    data.fill(LABEL.upper, y * width + Math.round(0.35 * width), y * width + Math.round(0.65 * width));
  return { width, height, data };
}

describe("generous", () => {
  const pose = Array.from({ length: 18 }, () => ({ x: 0, y: 0 }));
  [pose[2], pose[3], pose[4]] = [
    { x: 130, y: 135 },
    { x: 80, y: 200 },
    { x: 60, y: 290 },
  ];
  const labels = torso();
  for (let y = 200; y < 320; y++) labels.data.fill(LABEL.rightArm, y * 384 + 60, y * 384 + 75);
  const mask = agnosticMask(labels, pose, { model: "dc", category: "upperbody", mode: "generous" });
  const at = (x: number, y: number) => mask.data[y * 384 + x];

  test("masks the bare arm to the wrist, for a longer sleeve, and keeps the hand", () => {
    expect([at(80, 200), at(64, 280)]).toEqual([255, 255]);
    expect(at(66, 312)).toBe(0);
  });

  test("somebody else's clothes and arms do not draw it over to them", () => {
    const both = torso();
    for (let y = 150; y < 350; y++) {
      both.data.fill(LABEL.upper, y * 384 + 320, y * 384 + 370);
      both.data.fill(LABEL.leftArm, y * 384 + 372, y * 384 + 380);
    }
    const options = { model: "dc", category: "upperbody", mode: "generous" } as const;
    expect(agnosticMask(both, undefined, options)).toEqual(agnosticMask(torso(), undefined, options));
  });

  test("the clothes that the joints lie on count, not the largest; parts that an arm divides stay together", () => {
    const both = torso();
    for (let y = 150; y < 280; y++)
      both.data.fill(y > 200 && y < 230 ? LABEL.rightArm : LABEL.upper, y * 384 + 320, y * 384 + 370);
    const options = { model: "dc", category: "upperbody", mode: "generous" } as const;
    const neck = Array.from({ length: 18 }, (_, i) => (i === 1 ? { x: 345, y: 160 } : { x: 0, y: 0 }));
    const { data } = agnosticMask(both, neck, options);
    const masked = (x: number, y: number) => data[y * 384 + x] === 255;
    expect([masked(345, 160), masked(345, 215), masked(345, 270), masked(190, 200)]).toEqual([true, true, true, false]);
  });

  test("does not show the old outline: a notch in the garment leaves no trace", () => {
    const notched = torso();
    for (let y = 200; y < 240; y++) notched.data.fill(LABEL.background, y * 384 + 180, y * 384 + 249);
    const options = { model: "dc", category: "upperbody", mode: "generous" } as const;
    expect(agnosticMask(notched, undefined, options)).toEqual(agnosticMask(torso(), undefined, options));
  });
});

describe("what cannot be", () => {
  const options = { model: "hd", category: "upperbody" } as const;
  const flat = (label: number): GrayImage => ({ width: 384, height: 512, data: new Uint8Array(384 * 512).fill(label) });
  const joints = (count: number, x = 0) => Array.from({ length: count }, () => ({ x, y: 0 }));

  test.each(["reference", "generous"] as const)("%s: no person, no garment, a garment everywhere", (mode) => {
    const make = (label: number) => () => agnosticMask(flat(label), joints(18), { ...options, mode });
    expect(make(LABEL.background)).toThrow(EmptyMaskError);
    expect(make(LABEL.pants)).toThrow("mask: nothing to paint: no upper, dress in the label map outside what is kept");
    expect(make(LABEL.upper)).toThrow("mask: it covers the whole picture: nothing of the person would be kept");
  });

  test("labels, key points and growth that are none", () => {
    expect(() => agnosticMask(flat(255), undefined, options)).toThrow("label map: 255 at (0, 0); labels are 0 to 18");
    expect(() => agnosticMask(torso(), joints(17), options)).toThrow("key points: 17 of them; there must be 18");
    expect(() => agnosticMask(torso(), joints(18, NaN), options)).toThrow("key points: number 0 is (NaN, 0)");
    expect(() => agnosticMask(torso(), undefined, { ...options, grow: -1 })).toThrow("mask: cannot grow by -1 pixels");
    expect(() => agnosticMask({ ...torso(), width: 380 }, undefined, options)).toThrow(InputError);
  });

  test("joints anywhere, even far outside, end in a mask", () => {
    for (const far of [-5, -1e6, 70_000, 1e12]) {
      const pose = joints(18).map((_, i) => ({ x: i % 2 === 0 ? far : 190, y: i % 3 === 0 ? far : 200 }));
      for (const mode of ["reference", "generous"] as const)
        expect(agnosticMask(torso(), pose, { ...options, mode }).data).toContain(255);
    }
  });

  test("label maps of other sizes give masks of their sizes", () => {
    for (const [width, height] of [
      [768, 1024],
      [97, 130],
    ] as const) {
      const mask = agnosticMask(torso(width, height), undefined, options);
      expect([mask.width, mask.height, mask.data.length]).toEqual([width, height, width * height]);
      // 0.138 at 384x512; half a pixel more or less on each side is 0.01 of the smaller size.
      expect(Math.abs(count(mask) / mask.data.length - 0.138)).toBeLessThan(0.01);
    }
  });
});

describe("combineMasks", () => {
  const row = (...data: number[]): GrayImage => ({
    width: data.length,
    height: 3,
    data: Uint8Array.from([...data, ...data, ...data]),
  });
  const [mine, given] = [row(0, 255, 255, 0, 0), row(0, 0, 127, 200, 126)];

  test.each([
    ["replace", [0, 0, 255, 255, 0]],
    ["add", [0, 255, 255, 255, 0]],
    ["subtract", [0, 255, 0, 0, 0]],
  ] as const)("%s", (how, expected) => {
    expect([...combineMasks(mine, given, how).data.subarray(0, 5)]).toEqual(expected);
  });

  test("sizes that differ, nothing left, everything", () => {
    expect(() => combineMasks(mine, row(0, 1), "add")).toThrow("mask: 2x3 pixels, the automatic one has 5x3");
    expect(() => combineMasks(mine, mine, "subtract")).toThrow(EmptyMaskError);
    expect(() => combineMasks(mine, row(255, 255, 255, 255, 255), "add")).toThrow("mask: it covers the whole picture");
  });
});
