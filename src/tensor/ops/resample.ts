import { resample, type ResampleCall } from "../../kernels/resample.ts";
import { resampleBackward } from "../../kernels/resample_backward.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { floatType } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";

type Pair = readonly [y: number, x: number];

export interface InterpolateOptions {
  /** The result's height and width; or give `scaleFactor`. */
  readonly size?: Pair;
  readonly scaleFactor?: number | Pair;
  /** Default nearest. */
  readonly mode?: "nearest" | "bilinear";
  /** Bilinear only: the corner pixels of both sizes lie on each other. */
  readonly alignCorners?: boolean;
}

/**
 * Resizes x [n, h, w, c] as PyTorch's interpolate does, to a size or by a factor.
 * @throws ShapeError
 */
export function interpolate(
  x: Tensor,
  { size, scaleFactor, mode = "nearest", alignCorners = false }: InterpolateOptions,
): Tensor {
  const elem = floatType("interpolate", x);
  const [images, input, channels] = imageSizes("interpolate", x);
  const factor = scaleFactor === undefined ? undefined : pair(scaleFactor);
  if ((size === undefined) === (factor === undefined))
    throw new ShapeError("interpolate", "give either size or scaleFactor");
  const output: Pair = size ?? [Math.floor(input[0] * factor![0]), Math.floor(input[1] * factor![1])];
  if (output.some((size) => !Number.isInteger(size) || size < 1))
    throw new ShapeError("interpolate", `${show(x.shape)} to ${show(output)}`);
  const ratio = (i: 0 | 1) => {
    if (mode === "bilinear" && alignCorners) return output[i] > 1 ? (input[i] - 1) / (output[i] - 1) : 0;
    return factor ? 1 / factor[i] : input[i] / output[i];
  };
  const scale: Pair = [ratio(0), ratio(1)];
  return resampled(x, { mode, elem, images, input, output, channels, alignCorners, scale });
}

/** Forward and backward of resizing and pooling. Only maxima read x again. */
function resampled(x: Tensor, sizes: Omit<ResampleCall, "x" | "y">): Tensor {
  const { mode, images, output, channels } = sizes;
  const { device, shape, dtype } = x;
  const rule = {
    inputs: [x],
    save: () => ({ x: mode === "max" ? x : undefined }),
    backward: (g: Tensor, saved: { x: Tensor | undefined }) => {
      const gx = Tensor.empty(device, shape, dtype);
      resampleBackward(device, { ...sizes, x: saved.x?.view, g: g.view, gx: gx.view });
      return [gx];
    },
  };
  return recorded(device, rule, () => {
    const y = Tensor.empty(device, [images, ...output, channels], dtype);
    resample(device, { ...sizes, x: x.view, y: y.view });
    return y;
  });
}

export interface PoolOptions {
  readonly kernelSize: number | Pair;
  /** Default: the kernel's size. */
  readonly stride?: number | Pair;
  /** Default 0. Maxima ignore it, averages count it as zeros. */
  readonly padding?: number | Pair;
  /** Maxima only: windows may stand over the end of the picture, where there is nothing. Default false. */
  readonly ceilMode?: boolean;
}

function pool(op: "maxPool2d" | "avgPool2d", mode: "max" | "average") {
  return (x: Tensor, { kernelSize, stride = kernelSize, padding = 0, ceilMode = false }: PoolOptions): Tensor => {
    const elem = floatType(op, x);
    const [images, input, channels] = imageSizes(op, x);
    const [kernel, step, pad] = [pair(kernelSize), pair(stride), pair(padding)];
    if ([...kernel, ...step].some((size) => !(size > 0)) || ![...kernel, ...step, ...pad].every(Number.isInteger))
      throw new ShapeError(op, `kernel ${show(kernel)}, stride ${show(step)}, padding ${show(pad)}`);
    if (ceilMode && mode === "average") throw new ShapeError(op, "averages have no ceilMode");
    const size = (i: 0 | 1) => {
      const exact = (input[i] + 2 * pad[i] - kernel[i]) / step[i];
      if (!ceilMode) return Math.floor(exact) + 1;
      const last = Math.ceil(exact);
      return last * step[i] < input[i] + pad[i] ? last + 1 : last; // a window begins inside, or on the padding before
    };
    const output: Pair = [size(0), size(1)];
    if (!(output[0] > 0 && output[1] > 0) || pad[0] * 2 > kernel[0] || pad[1] * 2 > kernel[1])
      throw new ShapeError(op, `kernel ${show(kernel)} with padding ${show(pad)} on ${show(x.shape)}`);
    return resampled(x, { mode, elem, images, input, output, channels, kernel, stride: step, pad });
  };
}

/** The largest value under a window that moves over x [n, h, w, c]. @throws ShapeError */
export const maxPool2d = pool("maxPool2d", "max");
/** The mean under a window that moves over x [n, h, w, c]. @throws ShapeError */
export const avgPool2d = pool("avgPool2d", "average");

const pair = (value: number | Pair): Pair => (typeof value === "number" ? [value, value] : value);

function imageSizes(op: string, x: Tensor): [images: number, size: Pair, channels: number] {
  const [n = 0, h = 0, w = 0, c = 0] = x.shape;
  if (x.shape.length !== 4) throw new ShapeError(op, `x must be [n, h, w, c], got ${show(x.shape)}`);
  return [n, [h, w], c];
}
