import { chain } from "../../nn/chain.ts";
import { Module } from "../../nn/module.ts";
import { avgPool2d, maxPool2d } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE } from "./blocks.ts";

/** Pictures smaller than this have nothing left for the last blocks. */
const SMALLEST = 75;

/**
 * TensorFlow's Inception v3 of December 2015 up to its last pooling: what Fréchet and kernel distances are measured
 * with. Its classifier is left out.
 */
export class InceptionV3 extends Module {
  readonly Conv2d_1a_3x3 = new BasicConv2d(3, 32, 3, { stride: 2 });
  readonly Conv2d_2a_3x3 = new BasicConv2d(32, 32, 3);
  readonly Conv2d_2b_3x3 = new BasicConv2d(32, 64, 3, { padding: 1 });
  readonly Conv2d_3b_1x1 = new BasicConv2d(64, 80, 1);
  readonly Conv2d_4a_3x3 = new BasicConv2d(80, 192, 3);
  readonly Mixed_5b = new InceptionA(192, 32);
  readonly Mixed_5c = new InceptionA(256, 64);
  readonly Mixed_5d = new InceptionA(288, 64);
  readonly Mixed_6a = new InceptionB(288);
  readonly Mixed_6b = new InceptionC(768, 128);
  readonly Mixed_6c = new InceptionC(768, 160);
  readonly Mixed_6d = new InceptionC(768, 160);
  readonly Mixed_6e = new InceptionC(768, 192);
  readonly Mixed_7a = new InceptionD(768);
  readonly Mixed_7b = new InceptionE(1280, "average");
  readonly Mixed_7c = new InceptionE(2048, "max");

  /**
   * @param x - pictures as (byte - 128) / 128, [n, h, w, 3]; it was trained on 299x299
   * @returns [n, 2048]
   * @throws ShapeError
   */
  forward(x: Tensor): Tensor {
    const [n = 0, height = 0, width = 0, channels] = x.shape;
    if (x.shape.length !== 4 || channels !== 3 || Math.min(height, width) < SMALLEST)
      throw new ShapeError("InceptionV3", `${show(x.shape)} is not [n, h, w, 3] of at least ${SMALLEST} a side`);
    const half = (input: Tensor) => maxPool2d(input, { kernelSize: 3, stride: 2 });
    const step = (module: { forward(x: Tensor): Tensor }) => (input: Tensor) => module.forward(input);
    const steps = [
      ...[this.Conv2d_1a_3x3, this.Conv2d_2a_3x3, this.Conv2d_2b_3x3].map(step),
      half,
      ...[this.Conv2d_3b_1x1, this.Conv2d_4a_3x3].map(step),
      half,
      ...[this.Mixed_5b, this.Mixed_5c, this.Mixed_5d, this.Mixed_6a, this.Mixed_6b, this.Mixed_6c].map(step),
      ...[this.Mixed_6d, this.Mixed_6e, this.Mixed_7a, this.Mixed_7b, this.Mixed_7c].map(step),
      (input: Tensor) => avgPool2d(input, { kernelSize: [input.shape[1]!, input.shape[2]!] }),
    ];
    return x.device.scope(() => chain(x, steps).reshape(n, 2048));
  }
}
