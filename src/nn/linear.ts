import type { Activation } from "../kernels/activation.ts";
import { linear, linearAppend, linearGeglu } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module, Parameter } from "./module.ts";

/** x · Wᵀ + b over the last dimension. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(inputs: number, outputs: number, { bias = true }: { bias?: boolean } = {}) {
    super();
    this.weight = new Parameter([outputs, inputs], "matrix");
    this.bias = bias ? new Parameter([outputs], "vector") : undefined;
  }

  /**
   * `x` [..., in] → activation(x · Wᵀ + b) + residual, [..., out]. With `append` [m, u, out], of `x` [n, t, in]:
   * x · Wᵀ + b and behind each batch's tokens those, [n, t + u, out]. `geglu`: half of x · Wᵀ + b · gelu(other half).
   */
  forward(
    x: Tensor,
    options: { activation?: Activation; residual?: Tensor } | { append: Tensor } | { geglu: true } = {},
  ): Tensor {
    const bias = this.bias && { bias: this.bias.tensor };
    if ("geglu" in options) return linearGeglu(x, this.weight.tensor, bias);
    if ("append" in options) return linearAppend(x, this.weight.tensor, options.append, bias);
    return linear(x, this.weight.tensor, { ...bias, ...options });
  }
}
