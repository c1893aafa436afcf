import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import source from "./turn.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "turn",
  files: { "lib/index.wgsl": index, "turn.wgsl": source },
  spec: { elem: "f32", WG },
  params: { items: "u32", taps: "u32", inputs4: "u32", outputs4: "u32" },
  bind: { w: "read", y: "read_write" },
});

export const turnEntry: KernelEntry = { kernel, specs: [{ elem: "f32" }, { elem: "f16" }] };

/** The packed weight of the transposed convolution; counts are in vectors of four. */
export function turn(
  device: Device,
  w: View,
  y: View,
  { taps, inputs4, outputs4, elem }: { taps: number; inputs4: number; outputs4: number; elem: "f32" | "f16" },
): void {
  const items = taps * inputs4 * outputs4;
  device.run(kernel, {
    spec: { elem },
    params: { items, taps, inputs4, outputs4 },
    bind: { w, y },
    groups: Math.ceil(items / WG),
  });
}
