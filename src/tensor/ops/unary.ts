import { unary as kernel } from "../../kernels/unary.ts";
import type { Activation } from "../../kernels/activation.ts";
import { Tensor } from "../tensor.ts";
import { floatType } from "../check.ts";

function activation(op: Activation) {
  return (x: Tensor): Tensor => {
    const elem = floatType(op, x);
    const y = Tensor.empty(x.device, x.shape, x.dtype);
    kernel(x.device, x.view, y.view, x.size, elem, op);
    return y;
  };
}

/** max(x, 0). */
export const relu = activation("relu");
/** x · sigmoid(x) (Elfwing et al. 2017, arXiv 1702.03118). */
export const silu = activation("silu");
/** x · Φ(x) with the exact normal distribution (Hendrycks and Gimpel 2016, arXiv 1606.08415). */
export const gelu = activation("gelu");
/** GELU by its tanh approximation. */
export const geluTanh = activation("geluTanh");
/** x · sigmoid(1.702 x), as CLIP has it. */
export const quickGelu = activation("quickGelu");
export const tanh = activation("tanh");
export const sigmoid = activation("sigmoid");
export const exp = activation("exp");
