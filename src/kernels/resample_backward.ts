import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bindRange, ranges } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import { MODES, resampleTypes, type ResampleCall } from "./resample.ts";
import source from "./resample_backward.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "resample_backward",
  files: { "lib/index.wgsl": index, "resample_backward.wgsl": source },
  spec: { item_t: "vec4<f32>", wide_t: "vec4<f32>", MODE: 0, ALIGN_CORNERS: false, WG },
  params: {
    items: "u32",
    row: "u32",
    in_h: "u32",
    in_w: "u32",
    out_h: "u32",
    out_w: "u32",
    x_first: "u32",
    g_first: "u32",
    scale_y: "f32",
    scale_x: "f32",
    kernel_y: "u32",
    kernel_x: "u32",
    stride_y: "u32",
    stride_x: "u32",
    pad_y: "u32",
    pad_x: "u32",
  },
  bind: { x: "read", g: "read", gx: "read_write" },
});

export const resampleBackwardEntry: KernelEntry = {
  kernel,
  specs: ["f32", "f16"].flatMap((elem) =>
    [true, false].flatMap((vector) =>
      [0, 1, 2, 3].flatMap((MODE) =>
        (MODE === 1 ? [false, true] : [false]).map((ALIGN_CORNERS) => ({
          ...resampleTypes(elem, vector),
          MODE,
          ALIGN_CORNERS,
        })),
      ),
    ),
  ),
};

/** The gradient gx of resizing or pooling from its result's, g. Only maxima read x. Maps larger than a binding go image by image. */
export function resampleBackward(
  device: Device,
  call: Omit<ResampleCall, "x" | "y"> & { readonly x: View | undefined; readonly g: View; readonly gx: View },
): void {
  const { limits } = device.facts;
  const { mode, elem, images, input, output, channels } = call;
  const vector = channels % 4 === 0;
  const bytes = elem === "f16" ? 2 : 4;
  const item = bytes * (vector ? 4 : 1);
  const row = (channels * bytes) / item;
  const [xImage, gImage] = [input[0] * input[1] * channels * bytes, output[0] * output[1] * channels * bytes];
  const room = limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);
  const most = Math.max(1, Math.floor(room / Math.max(xImage, gImage)));
  const [scale, kernelSize, stride, pad] = [
    call.scale ?? [1, 1],
    call.kernel ?? [1, 1],
    call.stride ?? [1, 1],
    call.pad ?? [0, 0],
  ];
  for (const { start, length } of ranges(images, most)) {
    const of = (view: View, image: number) => bindRange(limits, view, start * image, length * image);
    const [gx, g] = [of(call.gx, xImage), of(call.g, gImage)];
    const items = length * input[0] * input[1] * row;
    device.run(kernel, {
      spec: {
        ...resampleTypes(elem, vector),
        MODE: MODES.indexOf(mode),
        ALIGN_CORNERS: mode === "bilinear" && (call.alignCorners ?? false),
      },
      params: {
        items,
        row,
        in_h: input[0],
        in_w: input[1],
        out_h: output[0],
        out_w: output[1],
        x_first: gx.skip / item,
        g_first: g.skip / item,
        scale_y: scale[0],
        scale_x: scale[1],
        kernel_y: kernelSize[0],
        kernel_x: kernelSize[1],
        stride_y: stride[0],
        stride_x: stride[1],
        pad_y: pad[0],
        pad_x: pad[1],
      },
      bind: { x: call.x ? of(call.x, xImage).view : device.nothing, g: g.view, gx: gx.view },
      groups: Math.ceil(items / WG),
    });
  }
}
