import { Conv2d } from "../../nn/conv2d.ts";
import { chain } from "../../nn/chain.ts";
import { Module } from "../../nn/module.ts";
import { avgPool2d, concat, maxPool2d, mul } from "../../tensor/ops.ts";
import { Tensor } from "../../tensor/tensor.ts";

// The blocks of Inception v3 (Szegedy et al. 2015, arXiv 1512.00567, figures 5 to 7), in the variant of TensorFlow's
// network of December 2015 that Fréchet distances are measured with: its averages do not count the padding, and the
// last block takes a maximum. Field names are those of torchvision, whose keys the published weights have.

interface Options {
  readonly stride?: number;
  readonly padding?: number | readonly [y: number, x: number];
}

/** A convolution and its batch norm, which is folded into it, then ReLU. */
export class BasicConv2d extends Module {
  readonly conv: Conv2d;

  constructor(inputs: number, outputs: number, kernel: number | readonly [number, number], options: Options = {}) {
    super();
    this.conv = new Conv2d(inputs, outputs, kernel, options);
  }

  forward(x: Tensor): Tensor {
    return this.conv.forward(x, { activation: "relu" });
  }
}

const run = (x: Tensor, ...steps: readonly BasicConv2d[]): Tensor =>
  chain(
    x,
    steps.map((step) => (input: Tensor) => step.forward(input)),
  );

/** Means of 3x3 pixels of which those outside the picture do not count. */
function average(x: Tensor): Tensor {
  const [, height = 0, width = 0] = x.shape;
  const inside = (at: number, size: number) => Math.min(at + 2, size) - Math.max(at - 1, 0);
  const correction = Float32Array.from(
    { length: height * width },
    (_, i) => 9 / (inside(Math.floor(i / width), height) * inside(i % width, width)),
  );
  const means = avgPool2d(x, { kernelSize: 3, stride: 1, padding: 1 });
  return mul(means, Tensor.from(x.device, correction, [1, height, width, 1]));
}

const WIDE = { padding: [0, 3] } as const;
const TALL = { padding: [3, 0] } as const;

export class InceptionA extends Module {
  readonly branch1x1: BasicConv2d;
  readonly branch5x5_1: BasicConv2d;
  readonly branch5x5_2: BasicConv2d;
  readonly branch3x3dbl_1: BasicConv2d;
  readonly branch3x3dbl_2: BasicConv2d;
  readonly branch3x3dbl_3: BasicConv2d;
  readonly branch_pool: BasicConv2d;

  constructor(inputs: number, pooled: number) {
    super();
    this.branch1x1 = new BasicConv2d(inputs, 64, 1);
    this.branch5x5_1 = new BasicConv2d(inputs, 48, 1);
    this.branch5x5_2 = new BasicConv2d(48, 64, 5, { padding: 2 });
    this.branch3x3dbl_1 = new BasicConv2d(inputs, 64, 1);
    this.branch3x3dbl_2 = new BasicConv2d(64, 96, 3, { padding: 1 });
    this.branch3x3dbl_3 = new BasicConv2d(96, 96, 3, { padding: 1 });
    this.branch_pool = new BasicConv2d(inputs, pooled, 1);
  }

  forward(x: Tensor): Tensor {
    const five = run(x, this.branch5x5_1, this.branch5x5_2);
    const three = run(x, this.branch3x3dbl_1, this.branch3x3dbl_2, this.branch3x3dbl_3);
    return concat([this.branch1x1.forward(x), five, three, this.branch_pool.forward(average(x))], 3);
  }
}

export class InceptionB extends Module {
  readonly branch3x3: BasicConv2d;
  readonly branch3x3dbl_1: BasicConv2d;
  readonly branch3x3dbl_2: BasicConv2d;
  readonly branch3x3dbl_3: BasicConv2d;

  constructor(inputs: number) {
    super();
    this.branch3x3 = new BasicConv2d(inputs, 384, 3, { stride: 2 });
    this.branch3x3dbl_1 = new BasicConv2d(inputs, 64, 1);
    this.branch3x3dbl_2 = new BasicConv2d(64, 96, 3, { padding: 1 });
    this.branch3x3dbl_3 = new BasicConv2d(96, 96, 3, { stride: 2 });
  }

  forward(x: Tensor): Tensor {
    const double = run(x, this.branch3x3dbl_1, this.branch3x3dbl_2, this.branch3x3dbl_3);
    return concat([this.branch3x3.forward(x), double, maxPool2d(x, { kernelSize: 3, stride: 2 })], 3);
  }
}

export class InceptionC extends Module {
  readonly branch1x1: BasicConv2d;
  readonly branch7x7_1: BasicConv2d;
  readonly branch7x7_2: BasicConv2d;
  readonly branch7x7_3: BasicConv2d;
  readonly branch7x7dbl_1: BasicConv2d;
  readonly branch7x7dbl_2: BasicConv2d;
  readonly branch7x7dbl_3: BasicConv2d;
  readonly branch7x7dbl_4: BasicConv2d;
  readonly branch7x7dbl_5: BasicConv2d;
  readonly branch_pool: BasicConv2d;

  constructor(inputs: number, narrow: number) {
    super();
    this.branch1x1 = new BasicConv2d(inputs, 192, 1);
    this.branch7x7_1 = new BasicConv2d(inputs, narrow, 1);
    this.branch7x7_2 = new BasicConv2d(narrow, narrow, [1, 7], WIDE);
    this.branch7x7_3 = new BasicConv2d(narrow, 192, [7, 1], TALL);
    this.branch7x7dbl_1 = new BasicConv2d(inputs, narrow, 1);
    this.branch7x7dbl_2 = new BasicConv2d(narrow, narrow, [7, 1], TALL);
    this.branch7x7dbl_3 = new BasicConv2d(narrow, narrow, [1, 7], WIDE);
    this.branch7x7dbl_4 = new BasicConv2d(narrow, narrow, [7, 1], TALL);
    this.branch7x7dbl_5 = new BasicConv2d(narrow, 192, [1, 7], WIDE);
    this.branch_pool = new BasicConv2d(inputs, 192, 1);
  }

  forward(x: Tensor): Tensor {
    const single = run(x, this.branch7x7_1, this.branch7x7_2, this.branch7x7_3);
    const [one, two, three, four, five] = [
      this.branch7x7dbl_1,
      this.branch7x7dbl_2,
      this.branch7x7dbl_3,
      this.branch7x7dbl_4,
      this.branch7x7dbl_5,
    ];
    const double = run(x, one, two, three, four, five);
    return concat([this.branch1x1.forward(x), single, double, this.branch_pool.forward(average(x))], 3);
  }
}

export class InceptionD extends Module {
  readonly branch3x3_1: BasicConv2d;
  readonly branch3x3_2: BasicConv2d;
  readonly branch7x7x3_1: BasicConv2d;
  readonly branch7x7x3_2: BasicConv2d;
  readonly branch7x7x3_3: BasicConv2d;
  readonly branch7x7x3_4: BasicConv2d;

  constructor(inputs: number) {
    super();
    this.branch3x3_1 = new BasicConv2d(inputs, 192, 1);
    this.branch3x3_2 = new BasicConv2d(192, 320, 3, { stride: 2 });
    this.branch7x7x3_1 = new BasicConv2d(inputs, 192, 1);
    this.branch7x7x3_2 = new BasicConv2d(192, 192, [1, 7], WIDE);
    this.branch7x7x3_3 = new BasicConv2d(192, 192, [7, 1], TALL);
    this.branch7x7x3_4 = new BasicConv2d(192, 192, 3, { stride: 2 });
  }

  forward(x: Tensor): Tensor {
    const three = run(x, this.branch3x3_1, this.branch3x3_2);
    const seven = run(x, this.branch7x7x3_1, this.branch7x7x3_2, this.branch7x7x3_3, this.branch7x7x3_4);
    return concat([three, seven, maxPool2d(x, { kernelSize: 3, stride: 2 })], 3);
  }
}

export class InceptionE extends Module {
  readonly branch1x1: BasicConv2d;
  readonly branch3x3_1: BasicConv2d;
  readonly branch3x3_2a: BasicConv2d;
  readonly branch3x3_2b: BasicConv2d;
  readonly branch3x3dbl_1: BasicConv2d;
  readonly branch3x3dbl_2: BasicConv2d;
  readonly branch3x3dbl_3a: BasicConv2d;
  readonly branch3x3dbl_3b: BasicConv2d;
  readonly branch_pool: BasicConv2d;
  readonly #pool: (x: Tensor) => Tensor;

  constructor(inputs: number, pool: "average" | "max") {
    super();
    this.branch1x1 = new BasicConv2d(inputs, 320, 1);
    this.branch3x3_1 = new BasicConv2d(inputs, 384, 1);
    this.branch3x3_2a = new BasicConv2d(384, 384, [1, 3], { padding: [0, 1] });
    this.branch3x3_2b = new BasicConv2d(384, 384, [3, 1], { padding: [1, 0] });
    this.branch3x3dbl_1 = new BasicConv2d(inputs, 448, 1);
    this.branch3x3dbl_2 = new BasicConv2d(448, 384, 3, { padding: 1 });
    this.branch3x3dbl_3a = new BasicConv2d(384, 384, [1, 3], { padding: [0, 1] });
    this.branch3x3dbl_3b = new BasicConv2d(384, 384, [3, 1], { padding: [1, 0] });
    this.branch_pool = new BasicConv2d(inputs, 192, 1);
    this.#pool = pool === "max" ? (x) => maxPool2d(x, { kernelSize: 3, stride: 1, padding: 1 }) : average;
  }

  forward(x: Tensor): Tensor {
    const single = this.branch3x3_1.forward(x);
    const double = run(x, this.branch3x3dbl_1, this.branch3x3dbl_2);
    const parts = [
      this.branch1x1.forward(x),
      ...[this.branch3x3_2a, this.branch3x3_2b].map((step) => step.forward(single)),
      ...[this.branch3x3dbl_3a, this.branch3x3dbl_3b].map((step) => step.forward(double)),
      this.branch_pool.forward(this.#pool(x)),
    ];
    return concat(parts, 3);
  }
}
