import type { Activation } from "../../kernels/activation.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { floatType, sameType, shapeError } from "../check.ts";
import { recorded } from "../recording.ts";
import type { Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";
import type { ConvSizes } from "./conv_bands.ts";
import { convolved } from "./conv_forward.ts";
import { inputGradient, weightGradient } from "./conv_gradients.ts";
import { checkEpilogue, productOperands, type ProductOperands } from "./epilogue.ts";
import { linear } from "./linear.ts";
import { sumDims, sumRows, sumTo } from "./sum_dims.ts";
import { activationBackward } from "./unary.ts";

export type Padding =
  | number
  | readonly [y: number, x: number]
  | { readonly top: number; readonly bottom: number; readonly left: number; readonly right: number };

/** Options of `conv2d`. */
export interface Conv2dOptions {
  /** [out], f32. */
  readonly bias?: Tensor | undefined;
  /** Pixels from one output to the next. Default 1. */
  readonly stride?: number | readonly [y: number, x: number];
  /** Pixels of zeros around the image: on all sides, top and bottom and both other sides, or each side. Default 0. */
  readonly padding?: Padding;
  /** [n or 1, out], of x's type: added to every pixel of an image before the activation (a time embedding). */
  readonly shift?: Tensor | undefined;
  /** Applied to the sum. Default none. */
  readonly activation?: Activation;
  /** Of the result's shape and type; added last. */
  readonly residual?: Tensor | undefined;
}

/**
 * activation(conv(x) + bias + shift) + residual, cross-correlation as PyTorch's conv2d, as an implicit matrix product.
 * @param x [n, h, w, in]
 * @param weight [out, in, kh, kw], packed or not
 * @returns [n, (h + pads - kh) / stride + 1, (w + pads - kw) / stride + 1, out]
 * @throws ShapeError, DTypeError
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions = {}): Tensor {
  const { bias, shift, activation = "none", residual } = options;
  sameType("conv2d", ["x", "weight"], x, weight);
  const sizes = conv2dSizes(x, weight, options);
  const out = weight.shape[0]!;
  const shape = [sizes.n, ...sizes.output, out];
  checkEpilogue("conv2d", x, shape, options);
  if (shift) checkShift(x, shift, sizes.n, out);
  const pointwise =
    sizes.kernel.join() === "1,1" && sizes.stride.join() === "1,1" && sizes.output.join() === sizes.input.join();
  if (pointwise && !shift && weight.packed)
    return x.device.scope(() => linear(x, weight.asMatrix(), { bias, activation, residual }));
  const { shape: weightShape } = weight;
  const rule = {
    inputs: [x, weight, bias, shift, residual],
    save: (_: Tensor, needs: readonly boolean[]) => productOperands({ x, weight, bias, shift }, activation, needs),
    backward: (g: Tensor, saved: ProductOperands, [needX, needW, needB, needShift]: readonly boolean[]) => {
      const { x, weight } = saved;
      const again = () => convolved(x!, weight!, shape, sizes, { bias: saved.bias, shift: saved.shift });
      const slope = activation === "none" ? g : activationBackward(g, again(), activation);
      return [
        needX ? inputGradient(slope, weight!, sizes) : undefined,
        needW ? cast(weightGradient(slope, x!, weightShape, sizes), g.dtype) : undefined,
        needB ? sumRows(slope) : undefined,
        needShift ? sumTo(sumDims(slope, [1, 2]).reshape(sizes.n, out), shift!.shape) : undefined,
        g,
      ];
    },
  };
  return recorded(x.device, rule, () => convolved(x, weight, shape, sizes, options));
}

/** Output size of a convolution, with its options in full. */
function conv2dSizes(x: Tensor, weight: Tensor, { stride = 1, padding = 0 }: Conv2dOptions): ConvSizes {
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
