import { softmax as kernel } from "../../kernels/rows.ts";
import { floatType } from "../check.ts";
import { Tensor } from "../tensor.ts";
import { cropChannels, padChannels } from "./pad.ts";

/** exp(x - max) / Σ exp(x - max) over the last dimension. */
export function softmax(x: Tensor): Tensor {
  const elem = floatType("softmax", x);
  const length = x.shape.at(-1)!;
  return x.device.scope(() => {
    const padded = padChannels(x, Math.ceil(length / 4) * 4);
    const y = Tensor.empty(x.device, padded.shape, x.dtype);
    kernel(x.device, { x: padded.view, y: y.view, rows: x.size / length, length, elem });
    return cropChannels(y, length);
  });
}
