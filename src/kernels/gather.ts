import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bandsOf, rowBands, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import source from "./gather.wgsl";
import index from "./lib/index.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "gather",
  files: { "lib/index.wgsl": index, "gather.wgsl": source },
  spec: { item_t: "vec4<f32>", WG },
  params: { items: "u32", row: "u32", first_row: "u32", rows: "u32", all_rows: "u32" },
  bind: { ids: "read", table: "read", y: "read_write" },
});

export const gatherEntry: KernelEntry = {
  kernel,
  specs: ["f32", "f16", "vec4<f32>", "vec4<f16>"].map((item_t) => ({ item_t })),
};

/** y[i] = table[ids[i]] for `count` ids and a table [rows, channels]. */
export function gather(
  device: Device,
  {
    ids,
    table,
    y,
    count,
    rows,
    channels,
    elem,
  }: { ids: View; table: View; y: View; count: number; rows: number; channels: number; elem: "f32" | "f16" },
): void {
  const vector = channels % 4 === 0;
  const row = vector ? channels / 4 : channels;
  const bytes = channels * (elem === "f16" ? 2 : 4);
  for (const some of bandsOf(device.facts.limits, count, [4, bytes]))
    for (const band of rowBands(device.facts.limits, rows, bytes))
      device.run(kernel, {
        spec: { item_t: vector ? `vec4<${elem}>` : elem },
        params: { items: some.length * row, row, first_row: band.start, rows: band.length, all_rows: rows },
        bind: {
          ids: slice(ids, some.start * 4, some.length * 4),
          table: slice(table, band.start * bytes, band.length * bytes),
          y: slice(y, some.start * bytes, some.length * bytes),
        },
        groups: Math.ceil((some.length * row) / WG),
      });
}
