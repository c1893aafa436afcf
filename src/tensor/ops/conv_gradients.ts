import { outer } from "../../kernels/outer.ts";
import { stridedCopy } from "../../kernels/strided_copy.ts";
import { stridesOf, type Shape } from "../../util/shape.ts";
import { floatType } from "../check.ts";
import { packedSizes } from "../packing.ts";
import { Tensor } from "../tensor.ts";
import { bandCall, convBands, type ConvSizes } from "./conv_bands.ts";
import { convolved } from "./conv_forward.ts";
import { turnedWeight } from "./pack.ts";
import { padChannels } from "./pad.ts";

// A convolution's gradients (Dumoulin and Visin 2016, arXiv 1603.07285, chapter 4), unrecorded.

/** In x: the transposed convolution of g, as a convolution of g, its pixels spread by the stride, with the weight turned. */
export function inputGradient(g: Tensor, weight: Tensor, sizes: ConvSizes): Tensor {
  const { n, input, kernel, pad } = sizes;
  const inputs = weight.shape[1]!;
  return g.device.scope(() => {
    const wide = spread(g, sizes.stride);
    const turnedSizes: ConvSizes = {
      n,
      input: [wide.shape[1]!, wide.shape[2]!],
      output: input,
      kernel,
      stride: [1, 1],
      pad: [kernel[0] - 1 - pad[0], kernel[1] - 1 - pad[1]], // negative where padding is wider than the kernel
    };
    return convolved(wide, turnedWeight(weight), [n, ...input, inputs], turnedSizes, {});
  });
}

/** Zeros between the pixels of g [n, h, w, c], so that a stride of one walks over them as `stride` did. */
function spread(g: Tensor, [sy, sx]: readonly [number, number]): Tensor {
  if (sy === 1 && sx === 1) return g;
  const [n = 0, h = 0, w = 0, c = 0] = g.shape;
  const shape = [n, (h - 1) * sy + 1, (w - 1) * sx + 1, c];
  const y = Tensor.empty(g.device, shape, g.dtype);
  const to = (strides: readonly number[]) => ({ view: y.view, elem: y.dtype, first: 0, strides });
  const [image = 0, row = 0, pixel = 0] = stridesOf(shape);
  stridedCopy(g.device, [y.size], "zeros", to([1]));
  const from = { view: g.view, elem: g.dtype, first: 0, strides: stridesOf(g.shape) };
  stridedCopy(g.device, g.shape, from, to([image, row * sy, pixel * sx, 1]));
  return y;
}

/** In the weight, f32, in natural order: for each tap the sum over output pixels of g times what the tap saw. */
export function weightGradient(g: Tensor, x: Tensor, shape: Shape, sizes: ConvSizes): Tensor {
  const { device } = g;
  const [out = 0, inputs = 0] = shape;
  const { taps, inputs4, outputs4 } = packedSizes(shape);
  return device.scope(() => {
    const [seen, own] = [padChannels(x, inputs4), padChannels(g, outputs4)];
    const parts = convBands(seen, own, sizes).map((band) => {
      const { call } = bandCall(seen, own, sizes, band);
      const { conv, first, batchStride } = call;
      return { g: call.y, x: call.x, rows: call.m, first: { g: first.y, x: first.x }, conv, xBatch: batchStride.x };
    });
    const perTap = Tensor.empty(device, [taps, out, inputs4]);
    const elem = floatType("conv2d", g);
    outer(device, { elem, batches: 1, outputs: out, k4: inputs4 / 4, taps, parts, y: perTap.view });
    const gw = Tensor.empty(device, shape);
    stridedCopy(
      device,
      [out, inputs, taps],
      { view: perTap.view, elem: "f32", first: 0, strides: [inputs4, 1, out * inputs4] },
      { view: gw.view, elem: "f32", first: 0, strides: [inputs * taps, taps, 1] },
    );
    return gw;
  });
}
