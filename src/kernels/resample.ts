import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bindRange, ranges } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import source from "./resample.wgsl";

const WG = 64;
const RUN = 8;

/** Ways to resample; the order is that of MODE in resample.wgsl. */
export const MODES = ["nearest", "bilinear", "max", "average"] as const;
export type ResampleMode = (typeof MODES)[number];

const kernel = defineKernel({
  name: "resample",
  files: { "lib/index.wgsl": index, "resample.wgsl": source },
  spec: { item_t: "vec4<f32>", wide_t: "vec4<f32>", MODE: 0, ALIGN_CORNERS: false, RUN, WG },
  params: {
    items: "u32",
    row: "u32",
    runs: "u32",
    in_h: "u32",
    in_w: "u32",
    out_h: "u32",
    out_w: "u32",
    x_first: "u32",
    y_first: "u32",
    x_image: "u32",
    first_in_y: "u32",
    first_out_y: "u32",
    scale_y: "f32",
    scale_x: "f32",
    kernel_y: "u32",
    kernel_x: "u32",
    stride_y: "u32",
    stride_x: "u32",
    pad_y: "u32",
    pad_x: "u32",
  },
  bind: { x: "read", y: "read_write" },
});

export const resampleTypes = (elem: string, vector: boolean) =>
  vector ? { item_t: `vec4<${elem}>`, wide_t: "vec4<f32>" } : { item_t: elem, wide_t: "f32" };

export const resampleEntry: KernelEntry = {
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

type Pair = readonly [y: number, x: number];

export interface ResampleCall {
  readonly mode: ResampleMode;
  readonly elem: "f32" | "f16";
  readonly x: View;
  readonly y: View;
  readonly images: number;
  readonly input: Pair;
  readonly output: Pair;
  readonly channels: number;
  readonly alignCorners?: boolean;
  /** Resizing: input pixels to one output pixel. */
  readonly scale?: Pair;
  /** Pooling. */
  readonly kernel?: Pair;
  readonly stride?: Pair;
  readonly pad?: Pair;
}

/** Records resizing or pooling of [images, ...input, channels]; maps larger than one binding go in bands of rows. */
export function resample(device: Device, call: ResampleCall): void {
  const { limits } = device.facts;
  const { images, input, output, channels } = call;
  const bytes = call.elem === "f16" ? 2 : 4;
  const [xRow, yRow] = [input[1] * channels * bytes, output[1] * channels * bytes];
  const most = limits.maxStorageBufferBindingSize - 256;
  if (Math.max(images * input[0] * xRow, images * output[0] * yRow) <= most)
    return dispatch(device, call, { image: 0, images, start: 0, length: output[0], firstIn: 0, endIn: input[0] });
  // the most rows whose sources fit too: fewer and fewer are tried, down to one
  let rows = Math.max(1, Math.floor(most / yRow));
  const tallest = (size: number) =>
    Math.max(
      ...ranges(output[0], size).map(({ start, length }) => sourceRows(call, start, length).reduce((a, b) => b - a)),
    );
  while (rows > 1 && tallest(rows) * xRow > most) rows = Math.floor(rows / 2);
  for (let image = 0; image < images; image++)
    for (const { start, length } of ranges(output[0], rows)) {
      const [firstIn, endIn] = sourceRows(call, start, length);
      dispatch(device, call, { image, images: 1, start, length, firstIn, endIn });
    }
}

/** The input rows that output rows read: from the first up to, not including, the second number. */
function sourceRows(
  { mode, input, scale, kernel, stride, pad, alignCorners }: ResampleCall,
  start: number,
  length: number,
): [number, number] {
  const last = start + length - 1;
  const clamp = (row: number) => Math.min(Math.max(row, 0), input[0]);
  if (mode === "max" || mode === "average") {
    const top = start * stride![0] - pad![0];
    const end = last * stride![0] - pad![0] + kernel![0];
    return [Math.min(clamp(top), input[0] - 1), Math.max(clamp(end), 1)];
  }
  const centre = mode === "bilinear" && !alignCorners ? 0.5 : 0;
  const source = (row: number) => (row + centre) * scale![0] - centre;
  // one row more on either side: the kernel computes places in float32
  return [Math.min(clamp(Math.floor(source(start)) - 1), input[0] - 1), clamp(Math.floor(source(last)) + 3)];
}

interface Band {
  readonly image: number;
  readonly images: number;
  readonly start: number;
  readonly length: number;
  readonly firstIn: number;
  readonly endIn: number;
}

function dispatch(device: Device, call: ResampleCall, band: Band): void {
  const { limits } = device.facts;
  const { input, output, channels, mode, elem } = call;
  const bytes = elem === "f16" ? 2 : 4;
  const vector = channels % 4 === 0;
  const item = bytes * (vector ? 4 : 1);
  const [xRow, yRow] = [input[1] * channels * bytes, output[1] * channels * bytes];
  const inRows = (band.images - 1) * input[0] + band.endIn - band.firstIn;
  const from = bindRange(limits, call.x, (band.image * input[0] + band.firstIn) * xRow, inRows * xRow);
  const to = bindRange(limits, call.y, (band.image * output[0] + band.start) * yRow, band.images * band.length * yRow);
  const row = (channels * bytes) / item;
  const runs = Math.ceil(output[1] / RUN);
  const items = band.images * band.length * runs * row;
  const [kernelY, kernelX] = call.kernel ?? [1, 1];
  const [strideY, strideX] = call.stride ?? [1, 1];
  const [padY, padX] = call.pad ?? [0, 0];
  const [scaleY, scaleX] = call.scale ?? [1, 1];
  device.run(kernel, {
    spec: {
      ...resampleTypes(elem, vector),
      MODE: MODES.indexOf(mode),
      ALIGN_CORNERS: mode === "bilinear" && (call.alignCorners ?? false),
    },
    params: {
      items,
      row,
      runs,
      in_h: input[0],
      in_w: input[1],
      out_h: band.length,
      out_w: output[1],
      x_first: from.skip / item,
      y_first: to.skip / item,
      x_image: input[0] * input[1] * row,
      first_in_y: band.firstIn,
      first_out_y: band.start,
      scale_y: scaleY,
      scale_x: scaleX,
      kernel_y: kernelY,
      kernel_x: kernelX,
      stride_y: strideY,
      stride_x: strideX,
      pad_y: padY,
      pad_x: padX,
    },
    bind: { x: from.view, y: to.view },
    groups: Math.ceil(items / WG),
  });
}
