import { geglu as kernel } from "../../kernels/geglu.ts";
import { gegluBackward } from "../../kernels/geglu_backward.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { floatType } from "../check.ts";
import { recorded } from "../recording.ts";
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
  const rows = x.size / channels / 2;
  const rule = {
    inputs: [x],
    save: () => ({ x }),
    backward: (g: Tensor, { x }: { x: Tensor }) => {
      const gx = Tensor.empty(x.device, x.shape, x.dtype);
      gegluBackward(x.device, { x: x.view, g: g.view, gx: gx.view, rows, channels, elem });
      return [gx];
    },
  };
  return recorded(x.device, rule, () => {
    const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), channels], x.dtype);
    kernel(x.device, x.view, y.view, rows, channels, elem);
    return y;
  });
}
