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
