import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bandsOf, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import source from "./geglu.wgsl";
import activation from "./lib/activation.wgsl";
import index from "./lib/index.wgsl";

const WG = 64;
const RUN = 8;

const kernel = defineKernel({
  name: "geglu",
  files: { "lib/index.wgsl": index, "lib/activation.wgsl": activation, "geglu.wgsl": source },
  spec: { elem: "f32", RUN, WG },
  params: { items: "u32", rows: "u32", vectors: "u32" },
  bind: { x: "read", y: "read_write" },
});

export const gegluEntry: KernelEntry = { kernel, specs: [{ elem: "f32" }, { elem: "f16" }] };

/** y[rows, channels] = x[rows, first half] · gelu(x[rows, second half]); channels is a multiple of 4. */
export function geglu(device: Device, x: View, y: View, rows: number, channels: number, elem: "f32" | "f16"): void {
  const row = channels * (elem === "f16" ? 2 : 4);
  for (const { start, length } of bandsOf(device.facts.limits, rows, [2 * row, row])) {
    const items = (Math.ceil(length / RUN) * channels) / 4;
    device.run(kernel, {
      spec: { elem },
      params: { items, rows: length, vectors: channels / 4 },
      bind: { x: slice(x, start * 2 * row, length * 2 * row), y: slice(y, start * row, length * row) },
      groups: Math.ceil(items / WG),
    });
  }
}
