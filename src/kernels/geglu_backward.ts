import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bandsOf, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import source from "./geglu_backward.wgsl";
import activation from "./lib/activation.wgsl";
import index from "./lib/index.wgsl";
import slope from "./lib/slope.wgsl";

const WG = 64;
const RUN = 8;

const kernel = defineKernel({
  name: "geglu_backward",
  files: {
    "lib/index.wgsl": index,
    "lib/activation.wgsl": activation,
    "lib/slope.wgsl": slope,
    "geglu_backward.wgsl": source,
  },
  spec: { elem: "f32", RUN, WG },
  params: { items: "u32", rows: "u32", vectors: "u32" },
  bind: { x: "read", g: "read", gx: "read_write" },
});

export const gegluBackwardEntry: KernelEntry = { kernel, specs: [{ elem: "f32" }, { elem: "f16" }] };

/** gx [rows, 2 · channels] of geglu from its input x and its result's gradient g [rows, channels], a multiple of 4. */
export function gegluBackward(
  device: Device,
  {
    x,
    g,
    gx,
    rows,
    channels,
    elem,
  }: { x: View; g: View; gx: View; rows: number; channels: number; elem: "f32" | "f16" },
): void {
  const row = channels * (elem === "f16" ? 2 : 4);
  for (const { start, length } of bandsOf(device.facts.limits, rows, [2 * row, row])) {
    const items = (Math.ceil(length / RUN) * channels) / 4;
    const wide = (view: View) => slice(view, start * 2 * row, length * 2 * row);
    device.run(kernel, {
      spec: { elem },
      params: { items, rows: length, vectors: channels / 4 },
      bind: { x: wide(x), g: slice(g, start * row, length * row), gx: wide(gx) },
      groups: Math.ceil(items / WG),
    });
  }
}
