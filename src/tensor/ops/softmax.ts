import { softmax as kernel } from "../../kernels/rows.ts";
import { floatType } from "../check.ts";
import { Tensor } from "../tensor.ts";

/** exp(x - max) / Σ exp(x - max) over the last dimension. */
export function softmax(x: Tensor): Tensor {
  const length = x.shape.at(-1)!;
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  kernel(x.device, { x: x.view, y: y.view, rows: x.size / length, length, elem: floatType("softmax", x) });
  return y;
}
