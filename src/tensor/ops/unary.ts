import { unary as kernel } from "../../kernels/unary.ts";
import { unaryBackward } from "../../kernels/unary_backward.ts";
import type { Activation } from "../../kernels/activation.ts";
import { floatType } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";

function activation(op: Activation) {
  return (x: Tensor): Tensor => {
    const elem = floatType(op, x);
    const rule = {
      inputs: [x],
      save: () => ({ x }),
      backward: (g: Tensor, { x }: { x: Tensor }) => [activationBackward(g, x, op)],
    };
    return recorded(x.device, rule, () => {
      const y = Tensor.empty(x.device, x.shape, x.dtype);
      kernel(x.device, x.view, y.view, x.size, elem, op);
      return y;
    });
  };
}

/** g · the activation's slope at x, or clamp's between two bounds. Unrecorded. */
export function activationBackward(g: Tensor, x: Tensor, by: Activation | readonly [number, number]): Tensor {
  if (by === "none") return g;
  const gx = Tensor.empty(x.device, x.shape, x.dtype);
  const elem = floatType("backward", x);
  unaryBackward(x.device, { x: x.view, g: g.view, gx: gx.view, count: x.size, elem }, by);
  return gx;
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
/** The hyperbolic tangent. */
export const tanh = activation("tanh");
/** 1 / (1 + e⁻ˣ). */
export const sigmoid = activation("sigmoid");
/** eˣ. */
export const exp = activation("exp");
