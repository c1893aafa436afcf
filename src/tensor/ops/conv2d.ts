import type { Activation } from "../../kernels/activation.ts";
import { bindRange, ranges } from "../../kernels/bands.ts";
import { gemm, type ConvGeometry, type GemmCall } from "../../kernels/gemm.ts";
import { OutOfMemoryError, ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { floatType, sameType, shapeError } from "../check.ts";
import { packedSizes } from "../packing.ts";
import { BYTES, Tensor } from "../tensor.ts";
import { checkEpilogue, finish, linear } from "./linear.ts";
import { packWeight } from "./pack.ts";
import { padChannels } from "./pad.ts";

export type Padding =
  | number
  | readonly [y: number, x: number]
  | { readonly top: number; readonly bottom: number; readonly left: number; readonly right: number };

export interface Conv2dOptions {
  /** [out], f32. */
  readonly bias?: Tensor | undefined;
  readonly stride?: number | readonly [y: number, x: number];
  readonly padding?: Padding;
  /** [n or 1, out], of x's type: added to every pixel of an image before the activation (a time embedding). */
  readonly shift?: Tensor | undefined;
  readonly activation?: Activation;
  /** Of the result's shape and type; added last. */
  readonly residual?: Tensor | undefined;
}

interface Sizes {
  readonly n: number;
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly pad: readonly [number, number];
}

/**
 * activation(conv(x) + bias + shift) + residual, cross-correlation as PyTorch's conv2d, as an implicit matrix product.
 * @param x [n, h, w, in]
 * @param weight [out, in, kh, kw], packed or not
 * @returns [n, (h + pads - kh) / stride + 1, (w + pads - kw) / stride + 1, out]
 * @throws ShapeError, DTypeError
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions = {}): Tensor {
  const { bias, shift, activation, residual } = options;
  const elem = sameType("conv2d", ["x", "weight"], x, weight);
  const sizes = conv2dSizes(x, weight, options);
  const out = weight.shape[0]!;
  const shape = [sizes.n, ...sizes.output, out];
  checkEpilogue("conv2d", x, shape, options);
  if (shift) checkShift(x, shift, sizes.n, out);
  const { device } = x;
  const pointwise =
    sizes.kernel.join() === "1,1" && sizes.stride.join() === "1,1" && sizes.output.join() === sizes.input.join();
  if (pointwise && !shift && weight.packed) return linear1x1(x, weight, options);
  return device.scope(() => {
    const { inputs4, outputs4 } = packedSizes(weight.shape);
    const operand = padChannels(x, inputs4);
    const w = weight.packed ? weight : packWeight(weight);
    const y = Tensor.empty(device, [sizes.n, ...sizes.output, outputs4], x.dtype);
    const wide = out !== outputs4;
    const common = { elem, w: w.view, n4: outputs4 / 4, k4: inputs4 / 4, batches: 1 };
    const post = { bias: bias?.view, shift: shift && padChannels(shift, outputs4).view, activation };
    for (const band of convBands(x, sizes, inputs4, outputs4, elem)) {
      const { call, yBytes } = bandCall(operand, y, sizes, band, elem, inputs4, outputs4);
      const added = residual && !wide ? bindRange(device.facts.limits, residual.view, ...yBytes).view : undefined;
      const imagesShareShift = shift?.shape[0] === 1;
      gemm(device, {
        ...common,
        ...call,
        epilogue: {
          ...post,
          residual: added,
          firstShift: imagesShareShift ? 0 : band.image,
          rowsPerShift: imagesShareShift ? call.m : call.conv.outPixels,
        },
      });
    }
    return finish(y, out, residual);
  });
}

/** Output size of a convolution, with its options in full. */
function conv2dSizes(x: Tensor, weight: Tensor, { stride = 1, padding = 0 }: Conv2dOptions): Sizes {
  const [n = 0, h = 0, w = 0, channels] = x.shape;
  const [, inputs, kh = 0, kw = 0] = weight.shape;
  if (x.shape.length !== 4) throw new ShapeError("conv2d", `x must be [n, h, w, channels], got ${show(x.shape)}`);
  if (weight.shape.length !== 4)
    throw new ShapeError("conv2d", `weight must be [out, in, kh, kw], got ${show(weight.shape)}`);
  if (channels !== inputs)
    throw shapeError("conv2d", `x has ${channels} channels, weight takes ${inputs}`, x.shape, weight.shape);
  const steps = typeof stride === "number" ? [stride] : stride;
  if (steps.some((step) => !Number.isInteger(step) || step < 1))
    throw new ShapeError("conv2d", `stride ${steps.join(", ")}`);
  const [sy, sx] = typeof stride === "number" ? [stride, stride] : stride;
  const pad = paddingOf(padding);
  const pads = [pad.top, pad.bottom, pad.left, pad.right];
  if (!pads.every((size) => Number.isInteger(size) && size >= 0))
    throw new ShapeError("conv2d", `padding ${pads.join(", ")}`);
  const output = [
    Math.floor((h + pad.top + pad.bottom - kh) / sy) + 1,
    Math.floor((w + pad.left + pad.right - kw) / sx) + 1,
  ] as const;
  if (!(output[0] > 0 && output[1] > 0))
    throw shapeError("conv2d", `the kernel is larger than the padded input`, x.shape, weight.shape);
  return { n, input: [h, w], output, kernel: [kh, kw], stride: [sy, sx], pad: [pad.top, pad.left] };
}

function paddingOf(padding: Padding): { top: number; bottom: number; left: number; right: number } {
  if (typeof padding === "number") return { top: padding, bottom: padding, left: padding, right: padding };
  if ("top" in padding) return padding;
  const [y, x] = padding;
  return { top: y, bottom: y, left: x, right: x };
}

function checkShift(x: Tensor, shift: Tensor, n: number, out: number): void {
  sameType("conv2d", ["x", "shift"], x, shift);
  floatType("conv2d", shift);
  if (shift.shape.length !== 2 || shift.shape[1] !== out || (shift.shape[0] !== n && shift.shape[0] !== 1))
    throw new ShapeError("conv2d", `shift is ${show(shift.shape)}, [${n} or 1, ${out}] is needed`);
}

/** A 1x1 convolution is a linear layer over pixels. */
function linear1x1(x: Tensor, weight: Tensor, { bias, activation = "none", residual }: Conv2dOptions): Tensor {
  return linear(x, weight.asMatrix(), { bias, activation, residual });
}

interface Band {
  readonly image: number;
  readonly images: number;
  readonly start: number;
  readonly length: number;
}

/** All images at once where one binding holds them; else row bands of single images, with their halo. */
function convBands(x: Tensor, s: Sizes, inputs4: number, outputs4: number, elem: "f32" | "f16"): Band[] {
  const { limits } = x.device.facts;
  const most = limits.maxStorageBufferBindingSize - limits.minStorageBufferOffsetAlignment;
  const xRow = s.input[1] * inputs4 * BYTES[elem];
  const yRow = s.output[1] * outputs4 * BYTES[elem];
  if (s.n * s.input[0] * xRow <= most && s.n * s.output[0] * yRow <= most)
    return [{ image: 0, images: s.n, start: 0, length: s.output[0] }];
  const byInput = Math.floor((Math.floor(most / xRow) - s.kernel[0]) / s.stride[0]) + 1;
  const rows = Math.min(Math.floor(most / yRow), byInput);
  if (rows < 1) {
    const need = Math.max(yRow, xRow * s.kernel[0]);
    throw new OutOfMemoryError(
      "conv2d",
      `one row of ${show(x.shape)} with its kernel needs a binding of ${need} bytes, the device binds at most ${most}`,
      need,
      most,
    );
  }
  const bands: Band[] = [];
  for (let image = 0; image < s.n; image++)
    for (const band of ranges(s.output[0], rows)) bands.push({ image, images: 1, ...band });
  return bands;
}

type BandCall = Pick<GemmCall, "x" | "y" | "m" | "first" | "batchStride"> & { readonly conv: ConvGeometry };

/** Bindings and geometry of one band. */
function bandCall(
  x: Tensor,
  y: Tensor,
  s: Sizes,
  band: Band,
  elem: "f32" | "f16",
  inputs4: number,
  outputs4: number,
): { call: BandCall; yBytes: [number, number] } {
  const { limits } = x.device.facts;
  const vector = 4 * BYTES[elem];
  const xRow = s.input[1] * inputs4 * BYTES[elem];
  const yRow = s.output[1] * outputs4 * BYTES[elem];
  const clamp = (row: number) => Math.min(Math.max(row, 0), s.input[0]);
  const firstIn = band.images > 1 || band.length === s.output[0] ? 0 : clamp(band.start * s.stride[0] - s.pad[0]);
  const endIn =
    band.images > 1 || band.length === s.output[0]
      ? s.input[0]
      : clamp((band.start + band.length - 1) * s.stride[0] - s.pad[0] + s.kernel[0]);
  // a band that lies on padding alone still needs a row to bind
  const inRows = Math.max(1, (band.images - 1) * s.input[0] + endIn - firstIn);
  const inStart = Math.min(band.image * s.input[0] + firstIn, s.n * s.input[0] - 1);
  const from = bindRange(limits, x.view, inStart * xRow, inRows * xRow);
  const yBytes: [number, number] = [
    (band.image * s.output[0] + band.start) * yRow,
    ((band.images - 1) * s.output[0] + band.length) * yRow,
  ];
  const to = bindRange(limits, y.view, ...yBytes);
  const call = {
    x: from.view,
    y: to.view,
    m: band.images * band.length * s.output[1],
    first: { x: from.skip / vector, y: to.skip / vector },
    batchStride: { x: (s.input[0] * s.input[1] * inputs4) / 4, w: 0, y: 0 },
    conv: {
      kernel: s.kernel,
      input: s.input,
      outWidth: s.output[1],
      outPixels: band.length * s.output[1],
      stride: s.stride,
      pad: s.pad,
      firstInRow: firstIn,
      firstOutRow: band.start,
    },
  };
  return { call, yBytes };
}
