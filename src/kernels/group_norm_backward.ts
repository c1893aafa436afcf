import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import type { KernelEntry } from "./entry.ts";
import { groupNormRun, groupStatistics, withStatistics, type GroupNormCall } from "./group_norm.ts";
import applySource from "./group_norm_backward_apply.wgsl";
import meansSource from "./group_norm_backward_means.wgsl";
import sumsSource from "./group_norm_backward_sums.wgsl";
import activation from "./lib/activation.wgsl";
import index from "./lib/index.wgsl";
import slope from "./lib/slope.wgsl";
import { chunkDispatches, chunkFiles, chunkParams, WG } from "./pixel_chunks.ts";
import { sum } from "./sum.ts";

const shared = { ...chunkFiles, "lib/activation.wgsl": activation, "lib/slope.wgsl": slope };

const sums = defineKernel({
  name: "group_norm_backward_sums",
  files: { ...shared, "group_norm_backward_sums.wgsl": sumsSource },
  spec: { elem: "f32", SILU: false, WG },
  params: chunkParams,
  bind: { x: "read", g: "read", scales: "read", weight: "read", bias: "read", parts: "read_write" },
});

const means = defineKernel({
  name: "group_norm_backward_means",
  files: { "lib/index.wgsl": index, "group_norm_backward_means.wgsl": meansSource },
  spec: { WG },
  params: { items: "u32", channel_groups: "u32", channels: "u32", pixels: "u32" },
  bind: { sums: "read", weight: "read", means: "read_write" },
});

const apply = defineKernel({
  name: "group_norm_backward_apply",
  files: { ...shared, "group_norm_backward_apply.wgsl": applySource },
  spec: { elem: "f32", SILU: false, WG },
  params: chunkParams,
  bind: {
    x: "read",
    g: "read",
    scales: "read",
    means: "read",
    weight: "read",
    bias: "read",
    gx: "read_write",
  },
});

const forms = ["f32", "f16"].flatMap((elem) => [false, true].map((SILU) => ({ elem, SILU })));

export const groupNormBackwardEntries: readonly KernelEntry[] = [
  { kernel: sums, specs: forms },
  { kernel: means, specs: [{}] },
  { kernel: apply, specs: forms },
];

export interface GroupNormBackwardCall extends Omit<GroupNormCall, "y"> {
  /** The result's gradient. */
  readonly g: View;
  readonly gx: View;
  /** f32 [2][channels]: the gradients of bias and of weight. */
  readonly gw: View;
}

/** Records GroupNorm's gradients. Statistics are computed again: they cost one read of x. */
export function groupNormBackward(device: Device, call: GroupNormBackwardCall): void {
  const { images, pixels, channels, elem, silu, x, g, gx, weight, bias } = call;
  const { limits } = device.facts;
  const bytes = images * 2 * channels * 4;
  const [perImage, meansView] = [device.alloc(bytes), device.alloc(bytes)];
  withStatistics(device, { ...call, y: gx }, (statistics) => {
    groupStatistics(device, { ...call, y: gx }, statistics, true);
    const { parts, scales, chunk, chunks } = statistics; // the parts of the statistics are used up: theirs is room enough
    for (const { params, of, groups } of chunkDispatches(limits, call, x, chunk)) {
      const bind = { x: of(x), g: of(g), scales, weight, bias, parts };
      device.run(sums, { spec: { elem, SILU: silu }, params, bind, groups });
    }
    const f32 = { from: "f32", to: "f32" } as const;
    const partsUsed = { ...parts, bytes: images * chunks * 2 * channels * 4 };
    sum(device, { ...f32, x: partsUsed, y: perImage, sizes: [images, chunks, 2 * channels] });
    sum(device, { ...f32, x: perImage, y: call.gw, sizes: [1, images, 2 * channels] });
    device.run(means, {
      params: { items: images * call.groups, channel_groups: call.groups, channels, pixels },
      bind: { sums: perImage, weight, means: meansView },
      groups: Math.ceil((images * call.groups) / WG),
    });
    const run = groupNormRun(device.facts, call);
    for (const { params, of, groups } of chunkDispatches(limits, call, x, run)) {
      const bind = { x: of(x), g: of(g), scales, means: meansView, weight, bias, gx: of(gx) };
      device.run(apply, { spec: { elem, SILU: silu }, params, bind, groups });
    }
  });
  device.release(perImage);
  device.release(meansView);
}
