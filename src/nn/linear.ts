import type { Activation } from "../kernels/activation.ts";
import { linear } from "../tensor/ops.ts";
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

  /** `x` [..., in] → activation(x · Wᵀ + b) + residual, [..., out]. */
  forward(x: Tensor, options: { activation?: Activation; residual?: Tensor } = {}): Tensor {
    return linear(x, this.weight.tensor, { ...(this.bias && { bias: this.bias.tensor }), ...options });
  }
}
