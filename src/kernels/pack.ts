import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { chunks, slice } from "./bands.ts";
import convertSource from "./convert.wgsl";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import raw from "./lib/raw.wgsl";
import packSource from "./pack.wgsl";

/** Element types of raw bytes; the order is that of SOURCE in lib/raw.wgsl. */
export const RAW_TYPES = ["F32", "F16", "BF16", "I32"] as const;

export type RawType = (typeof RAW_TYPES)[number];

export const RAW_BYTES: Readonly<Record<RawType, number>> = { F32: 4, F16: 2, BF16: 2, I32: 4 };

type Elem = "f32" | "f16" | "i32";

const ELEM_BYTES: Readonly<Record<Elem, number>> = { f32: 4, f16: 2, i32: 4 };

const bind = { raw: "read", y: "read_write" } as const;
const spec = { elem: "f32", SOURCE: 0 };

const packKernel = defineKernel({
  name: "pack",
  files: { "lib/index.wgsl": index, "lib/raw.wgsl": raw, "pack.wgsl": packSource },
  spec,
  params: {
    outputs: "u32",
    inputs: "u32",
    taps: "u32",
    first: "u32",
    first_out4: "u32",
    out4: "u32",
    tiles_out: "u32",
  },
  bind,
});

const convertKernel = defineKernel({
  name: "convert",
  files: { "lib/index.wgsl": index, "lib/raw.wgsl": raw, "convert.wgsl": convertSource },
  spec,
  params: { count: "u32" },
  bind,
});

const specs = (elems: readonly Elem[]) => elems.flatMap((elem) => RAW_TYPES.map((_, SOURCE) => ({ elem, SOURCE })));

export const packEntries: readonly KernelEntry[] = [
  { kernel: packKernel, specs: specs(["f32", "f16"]) },
  { kernel: convertKernel, specs: specs(["f32", "f16", "i32"]) },
];

export interface PackCall {
  readonly source: RawType;
  readonly elem: "f32" | "f16";
  /** Sizes of the whole weight. */
  readonly outputs: number;
  readonly inputs: number;
  readonly taps: number;
  /** The rows [out] that `raw` holds: the first one, a multiple of 4, and how many. */
  readonly firstOutput: number;
  readonly rows: number;
  /** Elements between the start of the binding and the first row. */
  readonly skip?: number;
}

/** Packs some rows of a weight [out, in, taps] into y, which holds the whole packed weight. */
export function pack(device: Device, raw: View, y: View, call: PackCall): void {
  const { source, elem, outputs, inputs, taps, firstOutput, rows, skip = 0 } = call;
  const tilesOut = Math.ceil(rows / 32);
  const tilesIn = Math.ceil((Math.ceil(inputs / 4) * taps) / 8);
  device.run(packKernel, {
    spec: { elem, SOURCE: RAW_TYPES.indexOf(source) },
    params: {
      outputs: rows,
      inputs,
      taps,
      first: skip,
      first_out4: firstOutput / 4,
      out4: Math.ceil(outputs / 4),
      tiles_out: tilesOut,
    },
    bind: { raw, y },
    groups: tilesOut * tilesIn,
  });
}

/** y = raw in another type, over `count` elements. */
export function convert(device: Device, raw: View, y: View, count: number, source: RawType, elem: Elem): void {
  const [from, to] = [RAW_BYTES[source], ELEM_BYTES[elem]];
  for (const { start, length } of chunks(device.facts.limits, count, Math.max(from, to))) {
    device.run(convertKernel, {
      spec: { elem, SOURCE: RAW_TYPES.indexOf(source) },
      params: { count: length },
      bind: { raw: slice(raw, start * from, length * from), y: slice(y, start * to, length * to) },
      groups: Math.ceil(length / 256),
    });
  }
}
