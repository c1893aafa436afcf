import { expect, test } from "vitest";
import { drawSkeleton } from "../../src/vision/skeleton.ts";
import { figure } from "./figures.ts";

const poseOf = (hidden: number[] = []) =>
  figure(200, 260, 1, hidden).map((point) => ({ x: point?.[0] ?? 0, y: point?.[1] ?? 0 }));
const at = ({ data, width }: { data: Uint8Array; width: number }, x: number, y: number) => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];
const area = ({ data }: { data: Uint8Array }) =>
  Array.from({ length: data.length / 3 }, (_, i) => data[3 * i]! + data[3 * i + 1]! + data[3 * i + 2]!).filter(Boolean)
    .length;

test("joints and limbs have OpenPose's colours", () => {
  const image = drawSkeleton(poseOf(), 384, 512);
  expect(at(image, 200, 80)).toEqual([255, 0, 0]); // nose
  expect(at(image, 200, 140)).toEqual([255, 85, 0]); // neck
  expect(at(image, 145, 145)).toEqual([255, 170, 0]); // right shoulder
  expect(at(image, 120, 240)).toEqual([255, 255, 0]); // right elbow
  expect(at(image, 172, 143)).toEqual([153, 0, 0]); // neck to right shoulder, at 60 %
  expect(at(image, 0, 0)).toEqual([0, 0, 0]);
});

test("hues go round in steps of 20 degrees", () => {
  const colours = poseOf().map(({ x, y }) => {
    const alone = poseOf().map((point) => (point.x === x && point.y === y ? point : { x: 0, y: 0 }));
    return at(drawSkeleton(alone, 384, 512), x, y).join();
  });
  expect(colours).toEqual([
    "255,0,0",
    "255,85,0",
    "255,170,0",
    "255,255,0",
    "170,255,0",
    "85,255,0",
    "0,255,0",
    "0,255,85",
    "0,255,170",
    "0,255,255",
    "0,170,255",
    "0,85,255",
    "0,0,255",
    "85,0,255",
    "170,0,255",
    "255,0,255",
    "255,0,170",
    "255,0,85",
  ]);
});

test("missing joints and their limbs are left out", () => {
  const nobody = poseOf(Array.from({ length: 18 }, (_, i) => i));
  expect(area(drawSkeleton(nobody, 384, 512))).toBe(0);
  const arm = drawSkeleton(poseOf([4]), 384, 512);
  expect(at(arm, 110, 320)).toEqual([0, 0, 0]);
  expect(at(arm, 10, 20)).toEqual([0, 0, 0]); // no limb to the corner
  expect(area(arm)).toBeLessThan(area(drawSkeleton(poseOf(), 384, 512)));
});

test("it scales, may lie over a picture, and what reaches beyond the edge is cut off", () => {
  const pose = poseOf();
  const double = drawSkeleton(pose, 768, 1024);
  expect(at(double, 400, 160)).toEqual([255, 0, 0]);
  expect(area(double) / area(drawSkeleton(pose, 384, 512))).toBeCloseTo(4, 0);
  const over = { width: 384, height: 512, data: new Uint8Array(384 * 512 * 3).fill(100) };
  const drawn = drawSkeleton(pose, 384, 512, { over });
  expect(at(drawn, 0, 0)).toEqual([100, 100, 100]);
  expect(at(drawn, 172, 143)).toEqual([193, 40, 40]);
  expect(over.data.every((level) => level === 100)).toBe(true);
  drawSkeleton(
    pose.map(({ x, y }) => ({ x: x - 300, y: y + 400 })),
    384,
    512,
  );
  expect(() => drawSkeleton(pose, 10, 10, { over })).toThrow("drawSkeleton: the picture is 384x512, not 10x10");
  expect(() => drawSkeleton(pose, 0, 10)).toThrow("drawSkeleton: 0x10 is not a size");
});
