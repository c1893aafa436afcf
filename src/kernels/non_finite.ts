import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { chunks, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import source from "./non_finite.wgsl";

const WG = 64;
const GROUPS = 16;

const kernel = defineKernel({
  name: "non_finite",
  files: { "lib/index.wgsl": index, "non_finite.wgsl": source },
  spec: { elem: "f32", WG },
  params: { count: "u32" },
  bind: { x: "read", counts: "read_write" },
});

export const nonFiniteEntry: KernelEntry = { kernel, specs: [{ elem: "f32" }, { elem: "f16" }] };

/** Counts what is not a number or not finite among `count` elements. */
export async function nonFinite(device: Device, x: View, count: number, elem: "f32" | "f16"): Promise<number> {
  const bytes = elem === "f16" ? 2 : 4;
  // everything is recorded before the first await, so x may be given back at once
  const counts = chunks(device.facts.limits, count, bytes).map(({ start, length }) => {
    const out = device.alloc(GROUPS * WG * 4);
    device.run(kernel, {
      spec: { elem },
      params: { count: length },
      bind: { x: slice(x, start * bytes, length * bytes), counts: out },
      groups: GROUPS,
    });
    return out;
  });
  let total = 0;
  try {
    for (const out of counts) for (const bad of new Uint32Array(await device.read(out))) total += bad;
  } finally {
    for (const out of counts) device.release(out);
  }
  return total;
}
