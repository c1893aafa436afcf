import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { chunks, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import source from "./lerp.wgsl";
import index from "./lib/index.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "lerp",
  files: { "lib/index.wgsl": index, "lerp.wgsl": source },
  spec: { WG },
  params: { vectors: "u32", weight: "f32" },
  bind: { x: "read", y: "read_write" },
});

export const lerpEntry: KernelEntry = { kernel, specs: [{}] };

/** y += weight · (x − y) over `count` f32 elements, in place. */
export function lerp(device: Device, x: View, y: View, count: number, weight: number): void {
  for (const { start, length } of chunks(device.facts.limits, count, 4)) {
    const vectors = Math.ceil(length / 4);
    device.run(kernel, {
      spec: {},
      params: { vectors, weight },
      bind: { x: slice(x, start * 4, length * 4), y: slice(y, start * 4, length * 4) },
      groups: Math.ceil(vectors / WG),
    });
  }
}
