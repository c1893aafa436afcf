import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { chunks, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import source from "./weighted_sum.wgsl";

const WG = 64;
export const MAX_TERMS = 6;

const kernel = defineKernel({
  name: "weighted_sum",
  files: { "lib/index.wgsl": index, "weighted_sum.wgsl": source },
  spec: { elem: "f32", TERMS: 2, WG },
  params: { vectors: "u32", c0: "f32", c1: "f32", c2: "f32", c3: "f32", c4: "f32", c5: "f32" },
  bind: { t0: "read", t1: "read", t2: "read", t3: "read", t4: "read", t5: "read", y: "read_write" },
});

export const weightedSumEntry: KernelEntry = {
  kernel,
  specs: ["f32", "f16"].flatMap((elem) => [1, 2, 3, 4, 5, 6].map((TERMS) => ({ elem, TERMS }))),
};

/** y = Σ coefficientᵢ · termᵢ over `count` elements; one to six terms. */
export function weightedSum(
  device: Device,
  terms: readonly (readonly [coefficient: number, view: View])[],
  y: View,
  count: number,
  elem: "f32" | "f16",
): void {
  const bytes = elem === "f16" ? 2 : 4;
  for (const { start, length } of chunks(device.facts.limits, count, bytes)) {
    const part = (i: number) => slice((terms[i] ?? terms[0]!)[1], start * bytes, length * bytes);
    const c = (i: number) => terms[i]?.[0] ?? 0;
    const vectors = Math.ceil(length / 4);
    device.run(kernel, {
      spec: { elem, TERMS: terms.length },
      params: { vectors, c0: c(0), c1: c(1), c2: c(2), c3: c(3), c4: c(4), c5: c(5) },
      bind: {
        t0: part(0),
        t1: part(1),
        t2: part(2),
        t3: part(3),
        t4: part(4),
        t5: part(5),
        y: slice(y, start * bytes, length * bytes),
      },
      groups: Math.ceil(vectors / WG),
    });
  }
}
