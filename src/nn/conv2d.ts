import type { Activation } from "../kernels/activation.ts";
import { conv2d } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module, Parameter } from "./module.ts";

/** Rows and columns of zeros around an image. */
export interface Padding {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

export interface Conv2dOptions {
  readonly stride?: number;
  readonly padding?: number | Padding;
  readonly bias?: boolean;
}

/** A convolution of an image [n, h, w, c] with a square kernel. */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly #stride: number;
  readonly #padding: number | Padding;

  constructor(
    inputs: number,
    outputs: number,
    kernel: number,
    { stride = 1, padding = 0, bias = true }: Conv2dOptions = {},
  ) {
    super();
    this.weight = new Parameter([outputs, inputs, kernel, kernel], "matrix");
    this.bias = bias ? new Parameter([outputs], "vector") : undefined;
    this.#stride = stride;
    this.#padding = padding;
  }

  /** `x` [n, h, w, in] → activation(conv(x) + b + shift) + residual, [n, h', w', out]; `shift` is [n or 1, out]. */
  forward(x: Tensor, options: { shift?: Tensor; activation?: Activation; residual?: Tensor } = {}): Tensor {
    const fixed = { stride: this.#stride, padding: this.#padding, ...(this.bias && { bias: this.bias.tensor }) };
    return conv2d(x, this.weight.tensor, { ...fixed, ...options });
  }
}
