import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError, NonFiniteError, NoPersonError, ShapeError } from "../../src/util/errors.ts";
import { decodePose, posePixels, type Pose, type PoseMaps } from "../../src/vision/pose.ts";
import { fixture, loadFixture, normal } from "../helpers.ts";
import { drawMaps, figure, type Figure } from "./figures.ts";

interface Case {
  readonly candidate: [x: number, y: number][];
  readonly subset: number[][];
  readonly keypoints: [x: number, y: number][];
  readonly missing: number[];
  readonly people: number;
}
const cases = JSON.parse(readFileSync(fixture("openpose/decode.json"), "utf8")) as Case[];
const tensors = loadFixture("openpose/decode.safetensors");

/** The reference's maps [c, h, w] as the network gives them here. */
function mapsOf(i: number): PoseMaps {
  const last = (name: string) => {
    const { data, shape } = tensors.get(`${i}.${name}`)!;
    const [channels, pixels] = [shape[0]!, shape[1]! * shape[2]!];
    return Float32Array.from(data, (_, at) => data[(at % channels) * pixels + Math.floor(at / channels)]!);
  };
  return { heat: last("heatmap"), paf: last("paf") };
}

const distance = (pose: Pose, points: readonly (readonly [x: number, y: number])[]) =>
  Math.max(...pose.map(({ x, y }, i) => Math.hypot(x - points[i]![0], y - points[i]![1])));

describe("against the published decoder", () => {
  test.each(cases.map((expected, i) => ({ i, ...expected })))("case $i: $people people, compat", (expected) => {
    const { pose, people } = decodePose(mapsOf(expected.i), { compat: true });
    expect(pose).toHaveLength(18);
    expect(distance(pose, expected.keypoints)).toBeLessThan(0.5);
    expect(people).toHaveLength(expected.people);
    for (const [p, person] of people.entries()) {
      const row = expected.subset[p]!;
      expect(person.score).toBeCloseTo(row[18]! / row[19]!, 4);
      expect(distance(person.pose, pointsOf(expected, p))).toBeLessThan(0.5);
    }
  });

  test.each(cases.map((expected, i) => ({ i, ...expected })))(
    "case $i, sane: the first person's joints",
    (expected) => {
      const { pose, people } = decodePose(mapsOf(expected.i));
      expect(distance(pose, pointsOf(expected, 0))).toBeLessThan(0.5);
      expect(people).toHaveLength(expected.people);
      expect(people[0]!.pose).toBe(pose);
      expect(pose.flatMap(({ x, y }, i) => (x === 0 && y === 0 ? [i] : []))).toEqual(expected.missing);
    },
  );

  test("the cases hold both kinds: the two read-outs differ where somebody else is in the picture", () => {
    const differ = cases.map((_, i) => {
      const maps = mapsOf(i);
      return JSON.stringify(decodePose(maps).pose) !== JSON.stringify(decodePose(maps, { compat: true }).pose);
    });
    expect(differ).toEqual(cases.map(({ people }) => people > 1));
  });
});

function pointsOf({ candidate, subset }: Case, person: number): [number, number][] {
  return subset[person]!.slice(0, 18).map((number) => {
    const point = candidate[number];
    return point ? [point[0] * 384, point[1] * 512] : [0, 0];
  });
}

const hypot = (a: { x: number; y: number }, [x, y]: readonly [x: number, y: number]) => Math.hypot(a.x - x, a.y - y);

/** Largest distance of a pose's joints from a figure's; infinite where one has a joint that the other lacks. */
function error(pose: Pose, figure: Figure): number {
  const errors = pose.map((point, i) => {
    const truth = figure[i];
    if (point.x === 0 && point.y === 0) return truth ? Infinity : 0;
    return truth ? hypot(point, truth) : Infinity;
  });
  return Math.max(...errors);
}

describe("drawn figures", () => {
  test("one person, every joint within four pixels (the maps' cells have 22)", () => {
    const person = figure(200, 260);
    for (const compat of [false, true]) {
      const { pose, people } = decodePose(drawMaps([person]), { compat });
      expect(people).toHaveLength(1);
      expect(error(pose, person)).toBeLessThan(4);
    }
  });

  test("missing joints lie at (0, 0), the others where they are", () => {
    const person = figure(200, 260, 1, [4, 7, 10, 16]);
    for (const compat of [false, true]) {
      const { pose, people } = decodePose(drawMaps([person]), { compat });
      expect(people[0]!.joints).toBe(14);
      expect(error(pose, person)).toBeLessThan(4);
    }
  });

  test("of several the large one, whoever is found first; everybody is told", () => {
    const large = figure(240, 260);
    for (const small of [figure(60, 200, 0.5), figure(80, 360, 0.5), figure(330, 110, 0.5)]) {
      const { pose, people } = decodePose(drawMaps([small, large]));
      expect(error(pose, large)).toBeLessThan(8);
      expect(people.length).toBeGreaterThanOrEqual(2);
      expect(people.slice(1).some((person) => error(person.pose, small) < 16)).toBe(true);
    }
  });

  test("stray peaks change the published read-out alone", () => {
    const person = figure(200, 260);
    const maps = drawMaps([person]);
    const strays = [60, 140].map((x) => person.map((_, joint) => (joint === 2 ? ([x, 40] as const) : undefined)));
    maps.heat.set(drawMaps([person, ...strays]).heat);
    expect(error(decodePose(maps).pose, person)).toBeLessThan(4);
    expect(error(decodePose(maps, { compat: true }).pose, person)).toBeGreaterThan(50);
  });

  test("nobody: silence, weak peaks, fewer than four joints, joints without limbs", () => {
    const person = figure(200, 260);
    const alone = drawMaps([person]);
    alone.paf.fill(0);
    const three = drawMaps([person.map((point, joint) => (joint < 3 ? point : undefined))]);
    for (const maps of [drawMaps([]), drawMaps([person], 0.05), three, alone])
      for (const compat of [false, true]) {
        expect(() => decodePose(maps, { compat })).toThrow(NoPersonError);
        expect(() => decodePose(maps, { compat })).toThrow("pose: no person was found in the picture");
      }
    expect(new NoPersonError("pose", "")).toBeInstanceOf(InputError);
  });

  test("plateaus: one peak each, no doubles of the person", () => {
    const person = figure(200, 260);
    const { heat, paf } = drawMaps([person]);
    const clipped = { paf, heat: heat.map((value) => Math.min(value, 0.3)) };
    const { pose, people } = decodePose(clipped);
    expect(people).toHaveLength(1);
    expect(error(pose, person)).toBeLessThan(12);
    expect(decodePose(clipped, { compat: true }).pose).toHaveLength(18);
  });

  test.each([0, 0.5, 1])("maps that are %f everywhere end soon, with nobody", (level) => {
    const { heat, paf } = drawMaps([]);
    const start = performance.now();
    for (const compat of [false, true])
      expect(() => decodePose({ heat: heat.map(() => level), paf }, { compat })).toThrow(NoPersonError);
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  test("flat heat maps and fields all over give a pose or nobody, never a crash", () => {
    const { heat, paf } = drawMaps([]);
    for (const compat of [false, true])
      expect(outcome({ heat: heat.map(() => 0.5), paf: paf.map(() => 0.7) }, compat)).toMatch(/^(18 joints|nobody)$/);
  });

  test("noise gives a pose within the picture or nobody", () => {
    for (let seed = 0; seed < 4; seed++) {
      const maps = {
        heat: normal(seed, 23 * 18 * 19, { scale: 0.4 }),
        paf: normal(seed + 9, 23 * 18 * 38, { scale: 0.6 }),
      };
      for (const compat of [false, true]) expect(outcome(maps, compat)).toMatch(/^(18 joints|nobody)$/);
    }
  });

  test("nobody shares a joint with anybody else", () => {
    const where = fc.record({
      x: fc.integer({ min: 80, max: 300 }),
      y: fc.integer({ min: 200, max: 300 }),
      size: fc.double({ min: 0.4, max: 1, noNaN: true }),
    });
    const property = fc.property(fc.array(where, { minLength: 1, maxLength: 3 }), (all) => {
      const maps = drawMaps(all.map(({ x, y, size }) => figure(x, y, size)));
      const { people } = decodePose(maps);
      const joints = people.flatMap(({ pose }) =>
        pose.flatMap(({ x, y }, joint) => (x === 0 && y === 0 ? [] : [`${joint}: ${x}, ${y}`])),
      );
      expect(new Set(joints).size).toBe(joints.length);
    });
    fc.assert(property, { numRuns: 25, seed: 1 });
  });

  test("maps of the wrong size or with NaN are refused", () => {
    const { heat, paf } = drawMaps([figure(200, 260)]);
    expect(() => decodePose({ heat: heat.subarray(1), paf })).toThrow(ShapeError);
    expect(() => decodePose({ heat, paf: heat })).toThrow("pose: paf has 7866 numbers, not [23, 18, 38]");
    heat[5] = NaN;
    expect(() => decodePose({ heat, paf })).toThrow(NonFiniteError);
  });
});

function outcome(maps: PoseMaps, compat: boolean): string {
  try {
    const { pose } = decodePose(maps, { compat });
    const inside = pose.filter(({ x, y }) => x >= 0 && x < 384 && y >= 0 && y < 512);
    return `${inside.length} joints`;
  } catch (error) {
    if (error instanceof NoPersonError) return "nobody";
    throw error;
  }
}

describe("the network's input", () => {
  test("blue first, shrunk, grey on the right where the width is no multiple of 8", () => {
    const data = Uint8Array.from({ length: 384 * 512 * 3 }, (_, i) => [200, 100, 0][i % 3]!);
    const pixels = posePixels({ width: 384, height: 512, data });
    expect(pixels.shape).toEqual([1, 184, 144, 3]);
    const at = (x: number, y: number) => [...pixels.data.subarray((y * 144 + x) * 3, (y * 144 + x) * 3 + 3)];
    expect(at(0, 0)).toEqual([-0.5, 100 / 256 - 0.5, 200 / 256 - 0.5]);
    expect(at(137, 183)).toEqual(at(0, 0));
    expect(at(138, 0)).toEqual([0, 0, 0]);
    expect(at(143, 183)).toEqual([0, 0, 0]);
  });

  test("another size is refused", () => {
    const image = { width: 512, height: 384, data: new Uint8Array(384 * 512 * 3) };
    expect(() => posePixels(image)).toThrow("pose: the picture is 512x384, not 384x512");
  });
});
