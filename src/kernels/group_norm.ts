import type { Device } from "../gpu/device.ts";
import type { DeviceFacts, DeviceLimits } from "../gpu/facts.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bindRange, ranges } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import applySource from "./group_norm_apply.wgsl";
import combineSource from "./group_norm_combine.wgsl";
import statsSource from "./group_norm_stats.wgsl";
import activation from "./lib/activation.wgsl";
import index from "./lib/index.wgsl";
import { planReduce, reducers } from "./rows.ts";

const WG = 64;

const stats = defineKernel({
  name: "group_norm_stats",
  files: { "lib/index.wgsl": index, "group_norm_stats.wgsl": statsSource },
  spec: { elem: "f32", WG },
  params: {
    items: "u32",
    channels4: "u32",
    pixels: "u32",
    chunk: "u32",
    chunks: "u32",
    first_chunk: "u32",
    first_pixel: "u32",
    x_first: "u32",
  },
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
  files: { "lib/index.wgsl": index, "lib/activation.wgsl": activation, "group_norm_apply.wgsl": applySource },
  spec: { elem: "f32", SILU: false, WG },
  params: {
    items: "u32",
    channels4: "u32",
    pixels: "u32",
    run: "u32",
    runs: "u32",
    first_run: "u32",
    first_pixel: "u32",
    x_first: "u32",
  },
  bind: { x: "read", scales: "read", bias: "read", y: "read_write" },
});

export const groupNormEntries: readonly KernelEntry[] = [
  { kernel: stats, specs: ["f32", "f16"].map((elem) => ({ elem })) },
  { kernel: combines[0]!, specs: [4, 8, 16, 32, 64, 128].map((lanes) => ({ WG: lanes })), needs: ["subgroups"] },
  { kernel: combines[1]!, specs: [{ WG: 64 }] },
  { kernel: apply, specs: ["f32", "f16"].flatMap((elem) => [false, true].map((SILU) => ({ elem, SILU }))) },
];

export interface GroupNormCall {
  readonly x: View;
  readonly weight: View;
  readonly bias: View;
  readonly y: View;
  readonly images: number;
  readonly pixels: number;
  /** A multiple of 4 and of `groups`. */
  readonly channels: number;
  readonly groups: number;
  readonly eps: number;
  readonly silu: boolean;
  readonly elem: "f32" | "f16";
}

/** Pixels that one thread of the statistics adds up: few enough to keep the device busy, and to keep rounding small. */
export function groupNormChunk(facts: DeviceFacts, images: number, pixels: number, channels: number): number {
  const threads = facts.isSoftware ? 2048 : 65536;
  return Math.min(Math.max(16, Math.ceil((images * pixels * channels) / 4 / threads)), 256, pixels);
}

type Sizes = Pick<GroupNormCall, "images" | "pixels" | "channels" | "elem">;

/** Pixels that one thread of a last step writes: software adapters pay more for a thread's beginning than for a pixel. */
export function groupNormRun({ isSoftware, limits }: DeviceFacts, { images, pixels, channels, elem }: Sizes): number {
  const threads = isSoftware ? 4096 : 65536;
  const share = Math.ceil((images * pixels * channels) / 4 / threads);
  return Math.min(Math.max(16, share), 128, pixels, mostPixels(limits, channels, elem));
}

/** What one binding holds. */
const mostPixels = (limits: DeviceLimits, channels: number, elem: "f32" | "f16"): number =>
  Math.max(1, Math.floor(roomFor(limits) / (channels * (elem === "f16" ? 2 : 4))));

/** Scratch for the statistics of a call: parts by chunk, then scales [images][3][channels] f32. */
export interface Statistics {
  readonly parts: View;
  readonly scales: View;
  readonly chunk: number;
  readonly chunks: number;
}

/** Allocates scratch for `use`, and gives it back. */
export function withStatistics(device: Device, call: GroupNormCall, use: (statistics: Statistics) => void): void {
  const { images, pixels, channels, elem } = call;
  const { facts } = device;
  const chunk = Math.min(groupNormChunk(facts, images, pixels, channels), mostPixels(facts.limits, channels, elem));
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
  for (const { start, length, of, ...place } of pixelBands(device.facts.limits, call, chunk)) {
    const items = (length * channels) / 4;
    device.run(stats, {
      spec: { elem },
      params: { channels4: channels / 4, pixels, ...place, items, chunk, chunks, first_chunk: start },
      bind: { x: of(call.x), parts },
      groups: Math.ceil(items / WG),
    });
  }
  const plan = planReduce(device.facts, device.variants["reduce"]);
  device.run(combines[plan.variant === "subgroup" ? 0 : 1]!, {
    spec: { WG: plan.WG },
    params: { channel_groups: call.groups, channels, chunks, chunk, pixels, eps: call.eps, raw: raw ? 1 : 0 },
    bind: { parts, weight: call.weight, scales },
    groups: images * call.groups,
  });
}

function record(device: Device, call: GroupNormCall, scales: View): void {
  const { pixels, channels, elem } = call;
  const run = groupNormRun(device.facts, call);
  const runs = Math.ceil(pixels / run);
  for (const { start, length, of, ...place } of pixelBands(device.facts.limits, call, run)) {
    const items = (length * channels) / 4;
    device.run(apply, {
      spec: { elem, SILU: call.silu },
      params: { channels4: channels / 4, pixels, ...place, items, run, runs, first_run: start },
      bind: { x: of(call.x), scales, bias: call.bias, y: of(call.y) },
      groups: Math.ceil(items / WG),
    });
  }
}

const roomFor = (limits: DeviceLimits): number =>
  limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);

export interface PixelBand {
  /** The pieces that a dispatch covers, counted over all images. */
  readonly start: number;
  readonly length: number;
  /** x's or y's binding for them. */
  readonly of: (whole: View) => View;
  readonly first_pixel: number;
  readonly x_first: number;
}

/** All images in pieces of `size` pixels (the last one of an image may have fewer), as many at a time as a binding holds. */
export function pixelBands(
  limits: DeviceLimits,
  call: Pick<GroupNormCall, "images" | "pixels" | "channels" | "elem" | "x">,
  size: number,
): PixelBand[] {
  const { images, pixels, channels } = call;
  const pixelBytes = channels * (call.elem === "f16" ? 2 : 4);
  const pieces = Math.ceil(pixels / size);
  const pixelOf = (piece: number) => Math.floor(piece / pieces) * pixels + Math.min((piece % pieces) * size, pixels);
  const whole = images * pixels * pixelBytes <= limits.maxStorageBufferBindingSize;
  const most = whole ? images * pieces : Math.max(1, Math.floor(roomFor(limits) / (size * pixelBytes)));
  return ranges(images * pieces, most).map(({ start, length }) => {
    const first = pixelOf(start);
    const bytes = (pixelOf(start + length) - first) * pixelBytes;
    const of = (view: View) => bindRange(limits, view, first * pixelBytes, bytes).view;
    const { skip } = bindRange(limits, call.x, first * pixelBytes, bytes);
    return { start, length, of, first_pixel: first, x_first: (skip / pixelBytes) * (channels / 4) };
  });
}
