import type { Device } from "../gpu/device.ts";
import type { DeviceFacts, DeviceLimits } from "../gpu/facts.ts";
import { defineKernel, type Kernel, type View } from "../gpu/kernel.ts";
import type { Spec } from "../gpu/wgsl.ts";
import { rowBands, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import layerNormSource from "./layer_norm.wgsl";
import index from "./lib/index.wgsl";
import reduceSubgroup from "./lib/reduce_subgroup.wgsl";
import reduceWorkgroup from "./lib/reduce_workgroup.wgsl";
import rowStatistics from "./lib/row_statistics.wgsl";
import softmaxSource from "./softmax.wgsl";
import { KernelError } from "../util/errors.ts";

// Kernels in which one workgroup owns a row. The subgroup form needs no barrier: its workgroup is one subgroup.

export const reducers = {
  subgroup: { "lib/index.wgsl": index, "lib/reduce_subgroup.wgsl": reduceSubgroup },
  workgroup: { "lib/index.wgsl": index, "lib/reduce_workgroup.wgsl": reduceWorkgroup },
} as const;

export type ReduceVariant = keyof typeof reducers;

/**
 * Chooses how a row is reduced, and how many threads do it.
 * @throws KernelError when the device has no form of the name `forced`
 */
export function planReduce(facts: DeviceFacts, forced?: string): { variant: ReduceVariant; WG: number } {
  const lanes = facts.pinned ? undefined : facts.subgroupSize; // these kernels do not ask for a size
  const names = lanes === undefined ? ["workgroup"] : ["subgroup", "workgroup"];
  if (forced !== undefined && !names.includes(forced))
    throw new KernelError("reduce", `no variant named ${forced} on ${facts.name}: there are ${names.join(", ")}`);
  if (lanes !== undefined && forced !== "workgroup") return { variant: "subgroup", WG: lanes };
  return { variant: "workgroup", WG: 64 };
}

const layerNorms = (["subgroup", "workgroup"] as const).map((variant) =>
  defineKernel({
    name: `layer_norm_${variant}`,
    files: {
      ...reducers[variant],
      "lib/row_statistics.wgsl": rowStatistics,
      "layer_norm.wgsl": layerNormSource,
    },
    spec: { elem: "f32", ROWS: 4, WG: 8 },
    params: { rows: "u32", vectors: "u32", eps: "f32" },
    bind: { x: "read", weight: "read", bias: "read", y: "read_write" },
  }),
);

const softmaxes = (["subgroup", "workgroup"] as const).map((variant) =>
  defineKernel({
    name: `softmax_${variant}`,
    files: { ...reducers[variant], "softmax.wgsl": softmaxSource },
    spec: { elem: "f32", WG: 8 },
    params: { length: "u32" },
    bind: { x: "read", y: "read_write" },
  }),
);

/** Specs of a pair of kernels [subgroup, workgroup]. */
export const reduceSpecs = (i: number) =>
  ["f32", "f16"].flatMap((elem) => (i === 0 ? [4, 8, 16, 32, 64, 128] : [64]).map((WG) => ({ elem, WG })));

const entry = (kernel: Kernel, i: number, specs: readonly Spec[]): KernelEntry => ({
  kernel,
  specs,
  ...(i === 0 && { needs: ["subgroups"] }),
});

export const rowEntries: readonly KernelEntry[] = [
  ...layerNorms.map((kernel, i) =>
    entry(
      kernel,
      i,
      reduceSpecs(i).flatMap((spec) => [1, 4].map((ROWS) => ({ ...spec, ROWS }))),
    ),
  ),
  ...softmaxes.map((kernel, i) => entry(kernel, i, reduceSpecs(i))),
];

/** Normalises each row of `channels` (a multiple of 4), then scales and shifts. */
export function layerNorm(
  device: Device,
  call: {
    x: View;
    weight: View;
    bias: View;
    y: View;
    rows: number;
    channels: number;
    eps: number;
    elem: "f32" | "f16";
  },
): void {
  const { variant, WG } = planReduce(device.facts, device.variants["reduce"]);
  const kernel = layerNorms[variant === "subgroup" ? 0 : 1]!;
  const ROWS = device.facts.isSoftware ? 4 : 1; // loads are dear there, and threads are few
  for (const band of bands(device.facts.limits, call.rows, call.channels, call.elem)) {
    device.run(kernel, {
      spec: { elem: call.elem, ROWS, WG },
      params: { rows: band.rows, vectors: call.channels / 4, eps: call.eps },
      bind: { x: band.of(call.x), weight: call.weight, bias: call.bias, y: band.of(call.y) },
      groups: Math.ceil(band.rows / ROWS),
    });
  }
}

/** Softmax of each row of `length` elements, which lies padded to a multiple of 4. */
export function softmax(
  device: Device,
  call: { x: View; y: View; rows: number; length: number; elem: "f32" | "f16" },
): void {
  const { variant, WG } = planReduce(device.facts, device.variants["reduce"]);
  const kernel = softmaxes[variant === "subgroup" ? 0 : 1]!;
  for (const band of bands(device.facts.limits, call.rows, Math.ceil(call.length / 4) * 4, call.elem)) {
    device.run(kernel, {
      spec: { elem: call.elem, WG },
      params: { length: call.length },
      bind: { x: band.of(call.x), y: band.of(call.y) },
      groups: band.rows,
    });
  }
}

function bands(limits: DeviceLimits, rows: number, length: number, elem: "f32" | "f16") {
  const bytes = length * (elem === "f16" ? 2 : 4);
  return rowBands(limits, rows, bytes).map(({ start, length: n }) => ({
    rows: n,
    of: (view: View) => slice(view, start * bytes, n * bytes),
  }));
}
