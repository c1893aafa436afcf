import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import type { KernelEntry } from "./entry.ts";
import applySource from "./group_norm_apply.wgsl";
import combineSource from "./group_norm_combine.wgsl";
import statsSource from "./group_norm_stats.wgsl";
import activation from "./lib/activation.wgsl";
import { chunkDispatches, chunkFiles, chunkParams, mostPixels, WG, type PixelSizes } from "./pixel_chunks.ts";
import { planReduce, reducers } from "./rows.ts";

const stats = defineKernel({
  name: "group_norm_stats",
  files: { ...chunkFiles, "group_norm_stats.wgsl": statsSource },
  spec: { elem: "f32", WG },
  params: chunkParams,
  bind: { x: "read", parts: "read_write" },
});

const combines = (["subgroup", "workgroup"] as const).map((variant) =>
  defineKernel({
    name: `group_norm_combine_${variant}`,
    files: { ...reducers[variant], "group_norm_combine.wgsl": combineSource },
    spec: { WG: 8 },
    params: {
      channel_groups: "u32",
      channels: "u32",
      chunks: "u32",
      chunk: "u32",
      pixels: "u32",
      eps: "f32",
      raw: "u32",
    },
    bind: { parts: "read", weight: "read", scales: "read_write" },
  }),
);

const apply = defineKernel({
  name: "group_norm_apply",
  files: { ...chunkFiles, "lib/activation.wgsl": activation, "group_norm_apply.wgsl": applySource },
  spec: { elem: "f32", SILU: false, WG },
  params: chunkParams,
  bind: { x: "read", scales: "read", bias: "read", y: "read_write" },
});

export const groupNormEntries: readonly KernelEntry[] = [
  { kernel: stats, specs: ["f32", "f16"].map((elem) => ({ elem })) },
  { kernel: combines[0]!, specs: [4, 8, 16, 32, 64, 128].map((lanes) => ({ WG: lanes })), needs: ["subgroups"] },
  { kernel: combines[1]!, specs: [{ WG: 64 }] },
  { kernel: apply, specs: ["f32", "f16"].flatMap((elem) => [false, true].map((SILU) => ({ elem, SILU }))) },
];

export interface GroupNormCall extends PixelSizes {
  readonly x: View;
  readonly weight: View;
  readonly bias: View;
  readonly y: View;
  /** Divides `channels`. */
  readonly groups: number;
  readonly eps: number;
  readonly silu: boolean;
}

/** Pixels that one thread of the statistics adds up: few enough to keep the device busy, and to keep rounding small. */
export function groupNormChunk(facts: DeviceFacts, images: number, pixels: number, channels: number): number {
  const threads = facts.isSoftware ? 2048 : 65536;
  return Math.min(Math.max(16, Math.ceil((images * pixels * channels) / 4 / threads)), 256, pixels);
}

/** Pixels that one thread of a last step writes: software adapters pay more for a thread's beginning than for a pixel. */
export function groupNormRun({ isSoftware, limits }: DeviceFacts, sizes: PixelSizes): number {
  const { images, pixels, channels } = sizes;
  const threads = isSoftware ? 4096 : 65536;
  const share = Math.ceil((images * pixels * channels) / 4 / threads);
  return Math.min(Math.max(16, share), 128, pixels, mostPixels(limits, sizes));
}

/** Scratch for the statistics of a call: parts by chunk, then scales [images][3][channels] f32. */
export interface Statistics {
  readonly parts: View;
  readonly scales: View;
  readonly chunk: number;
  readonly chunks: number;
}

/** Allocates scratch for `use`, and gives it back. */
export function withStatistics(device: Device, call: GroupNormCall, use: (statistics: Statistics) => void): void {
  const { images, pixels, channels } = call;
  const { facts } = device;
  const chunk = Math.min(groupNormChunk(facts, images, pixels, channels), mostPixels(facts.limits, call));
  const chunks = Math.ceil(pixels / chunk);
  const scratch = [device.alloc(images * chunks * channels * 3 * 4), device.alloc(images * channels * 3 * 4)] as const;
  try {
    use({ parts: scratch[0], scales: scratch[1], chunk, chunks });
  } finally {
    for (const view of scratch) device.release(view);
  }
}

/** Records GroupNorm over [images, pixels, channels]: statistics over whole images, however many bands a binding needs. */
export function groupNorm(device: Device, call: GroupNormCall): void {
  withStatistics(device, call, (statistics) => {
    groupStatistics(device, call, statistics, false);
    record(device, call, statistics.scales);
  });
}

/** Records every channel's pivot, shift and scale: rate · weight, or, `raw`, the rate alone. */
export function groupStatistics(
  device: Device,
  call: GroupNormCall,
  { parts, scales, chunk, chunks }: Statistics,
  raw: boolean,
): void {
  const { images, pixels, channels, elem } = call;
  for (const { params, of, groups } of chunkDispatches(device.facts.limits, call, call.x, chunk))
    device.run(stats, { spec: { elem }, params, bind: { x: of(call.x), parts }, groups });
  const plan = planReduce(device.facts, device.variants["reduce"]);
  device.run(combines[plan.variant === "subgroup" ? 0 : 1]!, {
    spec: { WG: plan.WG },
    params: { channel_groups: call.groups, channels, chunks, chunk, pixels, eps: call.eps, raw: raw ? 1 : 0 },
    bind: { parts, weight: call.weight, scales },
    groups: images * call.groups,
  });
}

function record(device: Device, call: GroupNormCall, scales: View): void {
  const { x, bias, y, elem, silu } = call;
  const run = groupNormRun(device.facts, call);
  for (const { params, of, groups } of chunkDispatches(device.facts.limits, call, x, run))
    device.run(apply, { spec: { elem, SILU: silu }, params, bind: { x: of(x), scales, bias, y: of(y) }, groups });
}
