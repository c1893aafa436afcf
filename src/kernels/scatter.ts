import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { rowBands, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import source from "./scatter.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "scatter",
  files: { "lib/index.wgsl": index, "scatter.wgsl": source },
  spec: { item_t: "vec4<f32>", wide_t: "vec4<f32>", WG },
  params: { items: "u32", count: "u32", row: "u32", first_row: "u32", rows: "u32" },
  bind: { ids: "read", g: "read", y: "read_write" },
});

const types = (elem: string, vector: boolean) =>
  vector ? { item_t: `vec4<${elem}>`, wide_t: "vec4<f32>" } : { item_t: elem, wide_t: "f32" };

export const scatterEntry: KernelEntry = {
  kernel,
  specs: ["f32", "f16"].flatMap((elem) => [true, false].map((vector) => types(elem, vector))),
};

export interface ScatterCall {
  readonly ids: View;
  /** [count, channels]. */
  readonly g: View;
  /** [rows, channels], zeros so far. */
  readonly y: View;
  readonly count: number;
  readonly rows: number;
  readonly channels: number;
  readonly elem: "f32" | "f16";
}

/**
 * Records y[ids[j]] = Σ g[j]: each id's rows are added up by one thread, in order. The table may be larger than a
 * binding; g, as long as what was looked up, may not.
 */
export function scatter(device: Device, { ids, g, y, count, rows, channels, elem }: ScatterCall): void {
  const vector = channels % 4 === 0;
  const row = vector ? channels / 4 : channels;
  const bytes = channels * (elem === "f16" ? 2 : 4);
  for (const { start, length } of rowBands(device.facts.limits, rows, bytes))
    device.run(kernel, {
      spec: types(elem, vector),
      params: { items: count * row, count, row, first_row: start, rows: length },
      bind: { ids, g, y: slice(y, start * bytes, length * bytes) },
      groups: Math.ceil((count * row) / WG),
    });
}
