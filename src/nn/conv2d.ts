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
  readonly padding?: number | readonly [y: number, x: number] | Padding;
  readonly bias?: boolean;
}

/** A convolution of an image [n, h, w, c]; a kernel given as one number is square. */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly #stride: number;
  readonly #padding: number | readonly [y: number, x: number] | Padding;

  constructor(
    inputs: number,
    outputs: number,
    kernel: number | readonly [y: number, x: number],
    { stride = 1, padding = 0, bias = true }: Conv2dOptions = {},
  ) {
    super();
    const [height, width] = typeof kernel === "number" ? [kernel, kernel] : kernel;
    this.weight = new Parameter([outputs, inputs, height, width], "matrix");
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
