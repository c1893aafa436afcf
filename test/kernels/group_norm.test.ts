import { describe, expect, test } from "vitest";
import type { DeviceFacts } from "../../src/gpu/facts.ts";
import { groupNormChunk, groupNormRun } from "../../src/kernels/group_norm.ts";
import { planReduce } from "../../src/kernels/rows.ts";

const facts = (isSoftware: boolean, subgroupSize?: number) => ({ isSoftware, subgroupSize }) as unknown as DeviceFacts;

describe("groupNormChunk", () => {
  test.each([
    { images: 2, pixels: 3072, channels: 320, software: 240, hardware: 16 },
    { images: 1, pixels: 768 * 1024, channels: 128, software: 256, hardware: 256 }, // never more: rounding grows with it
    { images: 2, pixels: 48, channels: 1280, software: 16, hardware: 16 },
    { images: 1, pixels: 5, channels: 8, software: 5, hardware: 5 }, // no longer than an image
  ])("$images × $pixels pixels × $channels channels", ({ images, pixels, channels, software, hardware }) => {
    expect(groupNormChunk(facts(true), images, pixels, channels)).toBe(software);
    expect(groupNormChunk(facts(false), images, pixels, channels)).toBe(hardware);
  });
});

describe("groupNormRun", () => {
  const room = { maxStorageBufferBindingSize: 2 ** 27, minStorageBufferOffsetAlignment: 256 };
  test.each([
    { images: 2, pixels: 3072, channels: 320, software: 120, hardware: 16 },
    { images: 1, pixels: 768 * 1024, channels: 128, software: 128, hardware: 128 },
    { images: 2, pixels: 48, channels: 1280, software: 16, hardware: 16 },
    { images: 1, pixels: 5, channels: 8, software: 5, hardware: 5 },
    { images: 1, pixels: 5000, channels: 8, software: 5, hardware: 5, binding: 256 + 5 * 32 }, // as one binding holds
  ])("$images × $pixels pixels × $channels channels", ({ software, hardware, binding, ...sizes }) => {
    const limits = binding ? { ...room, maxStorageBufferBindingSize: binding } : room;
    const call = { ...sizes, elem: "f32" as const };
    expect(groupNormRun({ ...facts(true), limits } as DeviceFacts, call)).toBe(software);
    expect(groupNormRun({ ...facts(false), limits } as DeviceFacts, call)).toBe(hardware);
  });
});

test("rows are reduced by subgroups where their size is known, else by workgroup memory", () => {
  expect(planReduce(facts(true, 8))).toEqual({ variant: "subgroup", WG: 8 });
  expect(planReduce(facts(false, 32))).toEqual({ variant: "subgroup", WG: 32 });
  expect(planReduce(facts(false))).toEqual({ variant: "workgroup", WG: 64 });
  expect(planReduce(facts(true, 8), "workgroup")).toEqual({ variant: "workgroup", WG: 64 });
  for (const [lanes, forced] of [
    [undefined, "subgroup"],
    [8, "toString"],
  ] as const)
    expect(() => planReduce(facts(true, lanes), forced)).toThrow(`reduce: no variant named ${forced} on `);
});
