import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { augment, augmented, mirrored } from "../../../src/training/data/augment.ts";
import { epochOrder, prefetch, type TryOnDataset, type TryOnSample } from "../../../src/training/data/dataset.ts";
import { drawnDataset } from "../../../src/training/data/drawn.ts";
import { Stream } from "../../../src/training/data/random.ts";
import { LABEL } from "../../../src/vision/labels.ts";

const drawn = drawnDataset({ seed: 1, width: 96, height: 128, pairing: "mixed" });
const never = { flip: 0, shift: 0, scale: 0, colour: 0 };
/** Short, and compared at once. */
function digest(sample: TryOnSample): string {
  const { person, garment, mask, truth, labels, pose } = sample;
  const sha = createHash("sha256").update(JSON.stringify(pose ?? []));
  for (const image of [person, garment, mask, truth!, labels!]) sha.update(image.data);
  return sha.digest("hex");
}

const vary = async (index: number, options: object) =>
  augment(await drawn.get(index), new Stream(1), { ...never, ...options });

test("nothing is varied without chance", async () => {
  expect(digest(await vary(0, {}))).toBe(digest(await drawn.get(0)));
});

test("a mirrored sample has left and right exchanged, twice mirrored it is what it was", async () => {
  const sample = await drawn.get(1);
  const mirror = mirrored(sample);
  const back = mirrored(mirror);
  const withoutPose = (of: TryOnSample) => digest({ ...of, pose: undefined });
  expect(withoutPose(back)).toBe(withoutPose(sample));
  for (const [i, { x, y }] of sample.pose!.entries()) {
    expect(back.pose![i]!.x).toBeCloseTo(x, 9);
    expect(back.pose![i]!.y).toBe(y);
  }
  expect(mirror.pose![4]).toEqual({ x: 384 - sample.pose![7]!.x, y: sample.pose![7]!.y });
  const count = (labels: Uint8Array, label: number) => labels.filter((value) => value === label).length;
  expect(count(mirror.labels!.data, LABEL.leftArm)).toBe(count(sample.labels!.data, LABEL.rightArm));
  expect(mirror.person.data.subarray(0, 3)).toEqual(sample.person.data.subarray(95 * 3, 96 * 3));
  expect(mirror.garment.data).not.toEqual(sample.garment.data);
});

test("person, truth, mask, labels and joints move together; the garment stays", async () => {
  const sample = await drawn.get(1);
  const moved = await vary(1, { shift: 1, scale: 1 });
  expect(moved.garment).toEqual(sample.garment);
  expect(moved.person.data).not.toEqual(sample.person.data);
  // Still a joint's label is what it was under the joint.
  const under = ({ labels, pose }: typeof sample, joint: number) => {
    const { x, y } = pose![joint]!;
    return labels!.data[Math.floor(y / 4) * 96 + Math.floor(x / 4)];
  };
  for (const joint of [0, 1]) expect(under(moved, joint)).toBe(under(sample, joint));
  // Person and truth differ inside the mask alone.
  const strays = Array.from(moved.person.data.keys()).filter(
    (i) => moved.person.data[i] !== moved.truth!.data[i] && moved.mask.data[Math.floor(i / 3)] === 0,
  );
  expect(strays).toEqual([]);
});

test("no pixel of a garment that reaches the edge shows outside the mask, wherever the person is moved", () => {
  const [width, height] = [24, 32];
  const isWorn = (i: number) => i % width >= 6 && i % width < 17 && i >= 12 * width; // down to the lower edge
  const mask = { width, height, data: Uint8Array.from({ length: width * height }, (_, i) => (isWorn(i) ? 255 : 0)) };
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => (i % 3 === 0 ? mask.data[(i / 3) | 0]! : 0));
  const person = { width, height, data };
  const labels = { ...mask, data: mask.data.map((value) => (value === 0 ? LABEL.background : LABEL.upper)) };
  const sample = { person, garment: person, mask, truth: person, labels } as unknown as TryOnSample;
  for (let seed = 0; seed < 200; seed++) {
    const varied = augment(sample, new Stream(seed), { ...never, shift: 1, scale: 1, flip: 0.5 });
    const red = mask.data.map((_, i) => varied.person.data[3 * i]!);
    expect(red.findIndex((value, i) => value > 0 && varied.mask.data[i] === 0)).toBe(-1);
    expect(red.findIndex((value, i) => value > 200 && varied.labels!.data[i] !== LABEL.upper)).toBe(-1);
  }
});

test("colours change alike on person, truth and garment; greys without contrast and light stay grey", async () => {
  const paired = await vary(0, { colour: 1 });
  expect(paired.truth).toBe(paired.person);
  expect(paired.garment.data).not.toEqual((await drawn.get(0)).garment.data);
  const jitter = { brightness: 0, contrast: 0, saturation: 0, hue: 0 };
  const kept = await vary(0, { colour: 1, jitter });
  expect(kept.person.data).toEqual((await drawn.get(0)).person.data);
});

test("a third of a turn makes red green", () => {
  const image = { width: 1, height: 1, data: Uint8Array.of(200, 20, 20) };
  const sample = { person: image, garment: image, mask: { ...image, data: Uint8Array.of(0) }, truth: image };
  const stream = {
    chance: () => true,
    between: (low: number, high: number) => (high === 1 / 3 ? 1 / 3 : (low + high) / 2),
  };
  const out = augment(sample as never, stream as never, {
    ...never,
    shift: 0,
    jitter: { hue: 1 / 3 },
    shiftLimit: 0,
    scaleLimit: 0,
  });
  expect([...out.garment.data]).toEqual([20, 200, 20]);
});

test("seed, epoch and number decide", async () => {
  const set = augmented(drawn, { seed: 5 });
  expect(digest(await set.get(3, 1))).toBe(digest(await augmented(drawn, { seed: 5 }).get(3, 1)));
  expect(digest(await set.get(3, 1))).not.toBe(digest(await set.get(3, 2)));
});

test("an epoch's order holds every number once", () => {
  const order = epochOrder(100, 7, 2);
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect(epochOrder(100, 7, 2)).toEqual(order);
  expect(epochOrder(100, 7, 3)).not.toEqual(order);
});

test("samples come in order, some ahead; a failure comes in its turn", async () => {
  const asked: number[] = [];
  const set: TryOnDataset = {
    length: 10,
    get: async (index) => {
      asked.push(index);
      if (index === 5) throw new Error("five is torn");
      await new Promise((resolve) => setTimeout(resolve, 5 - (index % 3)));
      return { names: { person: String(index), garment: "" } } as never;
    },
  };
  const seen: string[] = [];
  const run = async () => {
    for await (const { names } of prefetch(
      set,
      Array.from({ length: 8 }, (_, index) => ({ index })),
      { ahead: 3 },
    )) {
      if (seen.length === 0) expect(asked).toEqual([0, 1, 2, 3]);
      seen.push(names.person);
    }
  };
  await expect(run()).rejects.toThrow("five is torn");
  expect(seen).toEqual(["0", "1", "2", "3", "4"]);
});
