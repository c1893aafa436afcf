import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { paintFlat } from "../../../src/training/data/draw/flat.ts";
import { GARMENT_LABELS } from "../../../src/training/data/draw/garment.ts";
import type { Rgb } from "../../../src/training/data/draw/raster.ts";
import { drawScene, paintPerson, type Scene } from "../../../src/training/data/draw/scene.ts";
import { drawnDataset, drawnMask, sleeveOf, type DrawnOptions } from "../../../src/training/data/drawn.ts";
import { agnosticMask, type Category } from "../../../src/vision/agnostic.ts";
import type { RgbImage } from "../../../src/vision/image.ts";
import { LABEL } from "../../../src/vision/labels.ts";
import { connectedPieces, dilateBox } from "../../../src/vision/morphology.ts";

const CATEGORIES = ["upperbody", "lowerbody", "dress"] as const;
const all = (options: Partial<DrawnOptions> = {}): DrawnOptions => ({
  seed: 3,
  width: 64,
  height: 96,
  categories: CATEGORIES,
  ...options,
});

/** Short, and compared at once. */
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const hash = async (options: DrawnOptions, count: number) => {
  const sha = createHash("sha256");
  for (let i = 0; i < count; i++) {
    const { person, garment, mask, truth, labels, pose } = await drawnDataset(options).get(i);
    for (const image of [person, garment, mask, truth!, labels!]) sha.update(image.data);
    sha.update(JSON.stringify(pose));
  }
  return sha.digest("hex").slice(0, 16);
};

test("the same seed draws the same bytes; another seed, number or size others", async () => {
  const options = all({ pairing: "mixed" });
  expect(await hash(options, 6)).toBe("fcc07842a9d2eb2f");
  expect(await hash({ ...options, seed: 4 }, 6)).not.toBe(await hash(options, 6));
  const set = drawnDataset(options);
  const [late, early] = [await set.get(9), await set.get(0)];
  expect(digest((await drawnDataset(options).get(9)).person.data)).toBe(digest(late.person.data));
  expect(digest(early.person.data)).not.toBe(digest(late.person.data));
});

/** How many bytes differ where the mask is 0. */
function outside(a: RgbImage, b: RgbImage, mask: { data: Uint8Array }): number {
  let count = 0;
  for (let i = 0; i < a.data.length; i++) if (a.data[i] !== b.data[i] && mask.data[Math.floor(i / 3)] === 0) count++;
  return count;
}

const inverted = (scene: Scene): Scene => {
  const { texture } = scene.garment;
  const [a, b, c] = texture.colours.map(([red, green, blue]): Rgb => [1 - red, 1 - green, 1 - blue]) as [Rgb, Rgb, Rgb];
  return { ...scene, garment: { ...scene.garment, texture: { ...texture, colours: [a, b, c] } } };
};

describe.each([
  [64, 96, 8, "whole"],
  [90, 130, 4, "whole"],
  [64, 96, 8, "half"],
  [400, 560, 2, "whole"],
] as const)("%ix%i, %i of each category, %s", (width, height, count, framing) => {
  const categories = framing === "half" ? (["upperbody"] as const) : CATEGORIES;
  const scenes = categories.flatMap((category: Category) =>
    Array.from({ length: count }, (_, i) => drawScene(20, i, category, framing)),
  );

  test("no byte outside the mask tells the garment's colours", () => {
    for (const scene of scenes) {
      const worn = paintPerson(scene, "garment", width, height);
      const mask = drawnMask(scene, worn, {});
      const other = paintPerson(inverted(scene), "garment", width, height);
      expect(digest(other.labels.data)).toBe(digest(worn.labels.data));
      expect(digest(other.person.data)).not.toBe(digest(worn.person.data));
      expect(outside(worn.person, other.person, mask)).toBe(0);
    }
  });

  test("the generator's mask is one piece that covers the garment with a margin, and spares what is protected", () => {
    let [garmentPixels, missed, spoilt] = [0, 0, 0];
    for (const scene of scenes) {
      const { labels, pose } = paintPerson(scene, "garment", width, height);
      const protect = { face: true, hands: true, shoes: true, hair: true, bag: true };
      const mask = agnosticMask(labels, pose, { model: "dc", category: scene.category, protect });
      const label = GARMENT_LABELS[scene.garment.kind];
      const garment = { width, height, data: labels.data.map((value) => (value === label ? 255 : 0)) };
      const { sizes } = connectedPieces(mask);
      expect(Math.max(...sizes) / sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(0.9);
      const near = dilateBox(garment, 3);
      const spared = new Set<number>([
        LABEL.face,
        LABEL.hat,
        LABEL.sunglasses,
        LABEL.hair,
        LABEL.leftShoe,
        LABEL.rightShoe,
        LABEL.bag,
      ]);
      for (let i = 0; i < mask.data.length; i++) {
        if (garment.data[i]) garmentPixels++;
        if ((garment.data[i] || (near.data[i] && labels.data[i] === LABEL.background)) && !mask.data[i]) missed++;
        if (spared.has(labels.data[i]!) && mask.data[i]) spoilt++;
      }
    }
    expect(spoilt).toBe(0);
    expect(missed / garmentPixels).toBeLessThan(0.004);
  });

  test("hands stay out of tops' masks where they are free of the body", () => {
    let kept = 0;
    for (const scene of scenes.filter(({ category }) => category === "upperbody")) {
      const worn = paintPerson(scene, "garment", width, height);
      const mask = drawnMask(scene, worn, {});
      const isArm = (label: number) => label === LABEL.leftArm || label === LABEL.rightArm;
      if (worn.labels.data.some((label, i) => isArm(label) && mask.data[i] === 0)) kept++;
    }
    expect(kept).toBeGreaterThan(0.9 * count);
  });

  test("every joint lies on the person, or is missing", () => {
    for (const scene of scenes) {
      const { labels, pose } = paintPerson(scene, "garment", width, height);
      expect(pose).toHaveLength(18);
      for (const [joint, { x, y }] of pose.entries()) {
        if (x === 0 && y === 0) {
          expect(framing === "half" && [9, 10, 12, 13].includes(joint)).toBe(true); // knees and ankles alone
          continue;
        }
        const at = Math.floor((y * height) / 512) * width + Math.floor((x * width) / 384);
        expect([labels.data[at], joint]).not.toEqual([LABEL.background, joint]);
      }
    }
  });
});

test("the truth is the person in the garment of the picture: it differs inside the mask and nowhere else", async () => {
  const set = drawnDataset(all({ pairing: "unpaired" }));
  let [lost, changed] = [0, 0];
  for (let i = 0; i < 24; i++) {
    const { person, truth, mask, category } = await set.get(i);
    expect(digest(truth!.data)).not.toBe(digest(person.data));
    expect(outside(person, truth!, mask)).toBe(0);
    // What the mask cuts off is next to nothing: the other garment reaches no further than the first.
    const whole = paintPerson(drawScene(3, i, category), "other", 64, 96).person;
    lost += outside(person, whole, mask);
    changed += person.data.reduce((sum, value, at) => sum + (value === truth!.data[at] ? 0 : 1), 0);
  }
  expect(lost / changed).toBeLessThan(0.02);
});

test("pairing: the garment picture is the worn one, the other one, or each in turn", async () => {
  for (const index of [0, 1, 2, 3, 4, 5]) {
    const scene = drawScene(3, index, CATEGORIES[index % 3]!);
    const [own, other] = [paintFlat(scene.garment, 64, 96).data, paintFlat(scene.other, 64, 96).data].map(digest);
    const garment = async (pairing: DrawnOptions["pairing"]) =>
      digest((await drawnDataset(all({ pairing: pairing! })).get(index)).garment.data);
    expect(await garment("paired")).toBe(own);
    expect(await garment("unpaired")).toBe(other);
    expect(await garment("mixed")).toBe(index < 3 ? own : other);
    expect(sleeveOf(all({ pairing: "unpaired" }), index)).toBe(scene.other.cut.sleeve);
  }
});

test("flat and worn garments have the same colours", async () => {
  const set = drawnDataset(all({ categories: ["upperbody"] }));
  const mean = (image: RgbImage, counts: (i: number) => boolean) => {
    const sum = [0, 0, 0];
    let n = 0;
    for (let i = 0; i < image.width * image.height; i++)
      if (counts(i) && ++n) for (let c = 0; c < 3; c++) sum[c]! += image.data[3 * i + c]!;
    return sum.map((value) => value / n);
  };
  for (let i = 0; i < 30; i++) {
    const { person, garment, labels } = await set.get(i);
    const paper = (at: number) => [0, 1, 2].every((c) => garment.data[3 * at + c]! >= 243);
    const [worn, flat] = [mean(person, (at) => labels!.data[at] === LABEL.upper), mean(garment, (at) => !paper(at))];
    for (let c = 0; c < 3; c++) expect(Math.abs(worn[c]! - flat[c]!)).toBeLessThan(35);
  }
});

test("options that cannot be meant", async () => {
  expect(() => drawnDataset(all({ width: 8 }))).toThrow(
    "drawn data: 8x96 pixels; sides are whole numbers from 16 to 4096",
  );
  expect(() => drawnDataset(all({ categories: [] }))).toThrow("drawn data: no category");
  expect(() => drawnDataset(all({ framing: "half" }))).toThrow("drawn data: half-body pictures show tops only");
  await expect(drawnDataset(all({ length: 4 })).get(4)).rejects.toThrow("drawn data: no sample 4 among 4");
});
