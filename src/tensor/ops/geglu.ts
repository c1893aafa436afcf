import { geglu as kernel } from "../../kernels/geglu.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { floatType } from "../check.ts";
import { Tensor } from "../tensor.ts";

/**
 * First half of the channels · gelu(second half) (Shazeer 2020, arXiv 2002.05202): [..., 2c] → [..., c], c a multiple of 4.
 * @throws ShapeError
 */
export function geglu(x: Tensor): Tensor {
  const elem = floatType("geglu", x);
  const channels = x.shape.at(-1)! / 2;
  if (channels % 4 !== 0)
    throw new ShapeError("geglu", `x is ${show(x.shape)}: twice a multiple of 4 channels is needed`);
  const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), channels], x.dtype);
  kernel(x.device, x.view, y.view, y.size / channels, channels, elem);
  return y;
}
