import type { Device } from "../gpu/device.ts";
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
const RUN = 8;

const stats = defineKernel({
  name: "group_norm_stats",
  files: { "lib/index.wgsl": index, "group_norm_stats.wgsl": statsSource },
  spec: { elem: "f32", WG },
  params: { items: "u32", channels4: "u32", pixels: "u32", chunk: "u32", x_first: "u32", out_first: "u32" },
  bind: { x: "read", mean: "read_write", square: "read_write" },
});

const combines = (["subgroup", "workgroup"] as const).map((variant) =>
  defineKernel({
    name: `group_norm_combine_${variant}`,
    files: { ...reducers[variant], "group_norm_combine.wgsl": combineSource },
    spec: { WG: 8 },
    params: { channel_groups: "u32", channels: "u32", chunks: "u32", chunk: "u32", pixels: "u32", eps: "f32" },
    bind: { mean: "read", square: "read", weight: "read", centre: "read_write", scale: "read_write" },
  }),
);

const apply = defineKernel({
  name: "group_norm_apply",
  files: { "lib/index.wgsl": index, "lib/activation.wgsl": activation, "group_norm_apply.wgsl": applySource },
  spec: { elem: "f32", RUN, SILU: false, WG },
  params: { items: "u32", channels4: "u32", pixels: "u32", x_first: "u32", image: "u32" },
  bind: { x: "read", centre: "read", scale: "read", bias: "read", y: "read_write" },
});

export const groupNormEntries: readonly KernelEntry[] = [
  { kernel: stats, specs: ["f32", "f16"].map((elem) => ({ elem })) },
  { kernel: combines[0]!, specs: [4, 8, 16, 32, 64].map((lanes) => ({ WG: lanes })), needs: ["subgroups"] },
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

/** Records GroupNorm over [images, pixels, channels]: statistics over whole images, however many bands a binding needs. */
export function groupNorm(device: Device, call: GroupNormCall): void {
  const { images, pixels, channels } = call;
  const chunk = Math.max(16, Math.ceil(pixels / 128));
  const chunks = Math.ceil(pixels / chunk);
  const partial = images * chunks * channels * 4;
  const [mean, square] = [device.alloc(partial), device.alloc(partial)];
  const [centre, scale] = [device.alloc(images * channels * 4), device.alloc(images * channels * 4)];
  eachBand(device, call, chunk, ({ view, first, image, start, length }) => {
    const items = (Math.ceil(length / chunk) * channels) / 4;
    device.run(stats, {
      spec: { elem: call.elem },
      params: {
        items,
        channels4: channels / 4,
        pixels: length,
        chunk,
        x_first: first,
        out_first: ((image * chunks + start / chunk) * channels) / 4,
      },
      bind: { x: view(call.x), mean, square },
      groups: Math.ceil(items / WG),
    });
  });
  const plan = planReduce(device.facts, device.variants["reduce"]);
  device.run(combines[plan.variant === "subgroup" ? 0 : 1]!, {
    spec: { WG: plan.WG },
    params: { channel_groups: call.groups, channels, chunks, chunk, pixels, eps: call.eps },
    bind: { mean, square, weight: call.weight, centre, scale },
    groups: images * call.groups,
  });
  eachBand(device, call, chunk, ({ view, first, image, length }) => {
    const items = (Math.ceil(length / RUN) * channels) / 4;
    device.run(apply, {
      spec: { elem: call.elem, SILU: call.silu },
      params: { items, channels4: channels / 4, pixels: length, x_first: first, image },
      bind: { x: view(call.x), centre, scale, bias: call.bias, y: view(call.y) },
      groups: Math.ceil(items / WG),
    });
  });
  for (const scratch of [mean, square, centre, scale]) device.release(scratch);
}

interface PixelBand {
  /** x's or y's binding for the band. */
  readonly view: (whole: View) => View;
  readonly first: number;
  readonly image: number;
  readonly start: number;
  readonly length: number;
}

/** Every image in bands of whole chunks that one binding can hold. */
function eachBand(
  device: Device,
  { images, pixels, channels, elem }: GroupNormCall,
  chunk: number,
  visit: (band: PixelBand) => void,
): void {
  const { limits } = device.facts;
  const bytes = elem === "f16" ? 2 : 4;
  const pixel = channels * bytes;
  const most = Math.floor((limits.maxStorageBufferBindingSize - 256) / pixel);
  const rows = Math.max(chunk, Math.floor(most / chunk) * chunk);
  for (let image = 0; image < images; image++)
    for (const { start, length } of ranges(pixels, rows)) {
      const at = [(image * pixels + start) * pixel, length * pixel] as const;
      const { skip } = bindRange(limits, device.nothing, ...at);
      visit({ view: (whole) => bindRange(limits, whole, ...at).view, first: skip / (4 * bytes), image, start, length });
    }
}
