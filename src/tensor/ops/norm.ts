import { groupNorm as groupKernel } from "../../kernels/group_norm.ts";
import { groupNormBackward } from "../../kernels/group_norm_backward.ts";
import { layerNorm as layerKernel } from "../../kernels/rows.ts";
import { layerNormBackward } from "../../kernels/rows_backward.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { channelVector, floatType } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";
import { slice } from "./slice.ts";
import { sumRows } from "./sum_dims.ts";

export interface LayerNormOptions {
  /** [c], f32. */
  readonly weight: Tensor;
  readonly bias: Tensor;
  /** Default 1e-5. */
  readonly eps?: number;
}

/**
 * (x - mean) / √(variance + eps) · weight + bias over the last dimension (Ba et al. 2016, arXiv 1607.06450).
 * @param x [..., c], c a multiple of 4
 * @throws ShapeError, DTypeError
 */
export function layerNorm(x: Tensor, { weight, bias, eps = 1e-5 }: LayerNormOptions): Tensor {
  const elem = floatType("layerNorm", x);
  const channels = x.shape.at(-1)!;
  if (channels % 4 !== 0)
    throw new ShapeError("layerNorm", `${channels} channels of ${show(x.shape)}: a multiple of 4 is needed`);
  channelVector("layerNorm", "weight", weight, channels);
  channelVector("layerNorm", "bias", bias, channels);
  const sizes = { rows: x.size / channels, channels, eps, elem };
  const rule = {
    inputs: [x, weight, bias],
    save: () => ({ x, weight }),
    backward: (g: Tensor, { x, weight }: { x: Tensor; weight: Tensor }) => {
      const gx = Tensor.empty(x.device, x.shape, x.dtype);
      const gz = Tensor.empty(x.device, x.shape);
      const views = { x: x.view, g: g.view, weight: weight.view, gx: gx.view, gz: gz.view };
      layerNormBackward(x.device, { ...views, ...sizes });
      return [gx, sumRows(gz), sumRows(g)];
    },
  };
  return recorded(x.device, rule, () => {
    const y = Tensor.empty(x.device, x.shape, x.dtype);
    layerKernel(x.device, { x: x.view, weight: weight.view, bias: bias.view, y: y.view, ...sizes });
    return y;
  });
}

export interface GroupNormOptions extends LayerNormOptions {
  readonly activation?: "none" | "silu";
}

/**
 * Normalises each image over each group of channels (Wu and He 2018, arXiv 1803.08494), then weight and bias per
 * channel, then the activation.
 * @param x [n, ..., c], c a multiple of 4 and of `groups`
 * @throws ShapeError, DTypeError
 */
export function groupNorm(
  x: Tensor,
  groups: number,
  { weight, bias, eps = 1e-5, activation = "none" }: GroupNormOptions,
): Tensor {
  const elem = floatType("groupNorm", x);
  const channels = x.shape.at(-1)!;
  const images = x.shape[0]!;
  if (x.shape.length < 2) throw new ShapeError("groupNorm", `x must be [n, ..., c], got ${show(x.shape)}`);
  if (channels % groups !== 0)
    throw new ShapeError("groupNorm", `${channels} channels do not divide into ${groups} groups`);
  if (channels % 4 !== 0)
    throw new ShapeError("groupNorm", `${channels} channels of ${show(x.shape)}: a multiple of 4 is needed`);
  channelVector("groupNorm", "weight", weight, channels);
  channelVector("groupNorm", "bias", bias, channels);
  const pixels = x.size / channels / images;
  const sizes = { images, pixels, channels, groups, eps, silu: activation === "silu", elem };
  const rule = {
    inputs: [x, weight, bias],
    save: () => ({ x, weight, bias }),
    backward: (g: Tensor, saved: { x: Tensor; weight: Tensor; bias: Tensor }) => {
      const { x, weight, bias } = saved;
      const gx = Tensor.empty(x.device, x.shape, x.dtype);
      const gw = Tensor.empty(x.device, [2, channels]);
      const views = { x: x.view, g: g.view, weight: weight.view, bias: bias.view, gx: gx.view, gw: gw.view };
      groupNormBackward(x.device, { ...views, ...sizes });
      return [gx, slice(gw, 0, 1, 2).reshape(channels), slice(gw, 0, 0, 1).reshape(channels)];
    },
  };
  return recorded(x.device, rule, () => {
    const y = Tensor.empty(x.device, x.shape, x.dtype);
    groupKernel(x.device, { x: x.view, weight: weight.view, bias: bias.view, y: y.view, ...sizes });
    return y;
  });
}
