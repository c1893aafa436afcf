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
    band_h: "u32",
    first_y: "u32",
    x_first: "u32",
    g_first: "u32",
    gx_first: "u32",
    x_row: "u32",
    g_row: "u32",
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

export interface ResampleBackwardCall extends Omit<ResampleCall, "x" | "y"> {
  /** Read by maxima alone. */
  readonly x: View | undefined;
  readonly g: View;
  readonly gx: View;
}

/** Records the gradient gx of resizing or pooling from its result's, g; maps larger than a binding go in bands of rows. */
export function resampleBackward(device: Device, call: ResampleBackwardCall): void {
  const { limits } = device.facts;
  const { images, input, output, channels } = call;
  const bytes = channels * (call.elem === "f16" ? 2 : 4);
  const [xRow, gRow] = [input[1] * bytes, output[1] * bytes];
  const room = limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);
  const whole = { image: 0, images, rows: [0, input[0]], read: [0, input[0]], gradients: [0, output[0]] } as const;
  if (images * Math.max(input[0] * xRow, output[0] * gRow) <= room) return dispatch(device, call, whole);
  const bandOf = (start: number, length: number) => {
    const gradients = outputRows(call, start, start + length);
    return { images: 1, rows: [start, start + length], read: windowRows(call, gradients), gradients } as const;
  };
  const fits = (size: number) =>
    ranges(input[0], size).every(({ start, length }) => {
      const { read, gradients } = bandOf(start, length);
      const tallest = Math.max(length, call.x ? read[1] - read[0] : 0);
      return tallest * xRow <= room && (gradients[1] - gradients[0]) * gRow <= room;
    });
  let rows = input[0];
  while (rows > 1 && !fits(rows)) rows = Math.ceil(rows / 2);
  for (let image = 0; image < images; image++)
    for (const { start, length } of ranges(input[0], rows)) dispatch(device, call, { image, ...bandOf(start, length) });
}

type Rows = readonly [start: number, end: number];

/** Output rows that may have read input rows start … end - 1: never fewer than the kernel looks at. */
function outputRows(
  { mode, input, output, scale, kernel, stride, pad, alignCorners }: ResampleBackwardCall,
  start: number,
  end: number,
): Rows {
  const clip = (row: number) => Math.min(Math.max(row, 0), output[0]);
  if (mode === "max" || mode === "average") {
    const first = clip(Math.ceil((start + pad![0] - kernel![0] + 1) / stride![0]));
    const last = clip(Math.floor((end - 1 + pad![0]) / stride![0]) + 1);
    return [Math.min(first, output[0] - 1), Math.max(last, first + 1)];
  }
  if (scale![0] <= 0) return [0, output[0]];
  const [centre, reach] = mode === "nearest" ? [0, 0] : [alignCorners ? 0 : 0.5, 1];
  const first = start === 0 ? 0 : clip(Math.floor((start - reach + centre) / scale![0] - centre) - 2);
  const last = end === input[0] ? output[0] : clip(Math.ceil((end + centre) / scale![0] - centre) + 3);
  return [Math.min(first, output[0] - 1), Math.max(last, first + 1)];
}

/** Input rows under the windows of output rows. */
function windowRows({ mode, input, kernel, stride, pad }: ResampleBackwardCall, [start, end]: Rows): Rows {
  if (mode !== "max") return [0, 1];
  const clip = (row: number) => Math.min(Math.max(row, 0), input[0]);
  return [clip(start * stride![0] - pad![0]), clip((end - 1) * stride![0] - pad![0] + kernel![0])];
}

interface Band {
  readonly image: number;
  readonly images: number;
  /** Rows of gx that are written, of x and of g that are read. */
  readonly rows: Rows;
  readonly read: Rows;
  readonly gradients: Rows;
}

function dispatch(device: Device, call: ResampleBackwardCall, { image, images, ...band }: Band): void {
  const { mode, elem, input, output, channels } = call;
  const vector = channels % 4 === 0;
  const bytes = elem === "f16" ? 2 : 4;
  const item = bytes * (vector ? 4 : 1);
  const row = (channels * bytes) / item;
  const bound = (view: View, [h, w]: Rows, [start, end]: Rows) => {
    const line = w * channels * bytes;
    const lines = (images - 1) * h + end - start;
    return bindRange(device.facts.limits, view, (image * h + start) * line, lines * line);
  };
  const [gx, g] = [bound(call.gx, input, band.rows), bound(call.g, output, band.gradients)];
  const x = call.x && bound(call.x, input, band.read);
  const height = band.rows[1] - band.rows[0];
  const items = images * height * input[1] * row;
  const [scale, kernelSize] = [call.scale ?? [1, 1], call.kernel ?? [1, 1]];
  const [stride, pad] = [call.stride ?? [1, 1], call.pad ?? [0, 0]];
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
      band_h: height,
      first_y: band.rows[0],
      x_first: (x?.skip ?? 0) / item,
      g_first: g.skip / item,
      gx_first: gx.skip / item,
      x_row: band.read[0],
      g_row: band.gradients[0],
      scale_y: scale[0],
      scale_x: scale[1],
      kernel_y: kernelSize[0],
      kernel_x: kernelSize[1],
      stride_y: stride[0],
      stride_x: stride[1],
      pad_y: pad[0],
      pad_x: pad[1],
    },
    bind: { x: x?.view ?? device.nothing, g: g.view, gx: gx.view },
    groups: Math.ceil(items / WG),
  });
}
