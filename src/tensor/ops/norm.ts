import { groupNorm as groupKernel } from "../../kernels/group_norm.ts";
import { layerNorm as layerKernel } from "../../kernels/rows.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { channelVector, floatType } from "../check.ts";
import { Tensor } from "../tensor.ts";

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
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  layerKernel(x.device, {
    x: x.view,
    weight: channelVector("layerNorm", "weight", weight, channels).view,
    bias: channelVector("layerNorm", "bias", bias, channels).view,
    y: y.view,
    rows: x.size / channels,
    channels,
    eps,
    elem,
  });
  return y;
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
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  groupKernel(x.device, {
    x: x.view,
    weight: channelVector("groupNorm", "weight", weight, channels).view,
    bias: channelVector("groupNorm", "bias", bias, channels).view,
    y: y.view,
    images,
    pixels: x.size / channels / images,
    channels,
    groups,
    eps,
    silu: activation === "silu",
    elem,
  });
  return y;
}
