import { Conv2d } from "../nn/conv2d.ts";
import { chain } from "../nn/chain.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { GroupNorm } from "../nn/norm.ts";
import { interpolate } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface ResnetOptions {
  /** Width of the time embedding; absent in the VAE. */
  readonly temb?: number;
  readonly groups: number;
  readonly eps: number;
}

/** Two 3x3 convolutions with a skip; a shift made from the time embedding is added between them. */
export class ResnetBlock2D extends Module {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly time_emb_proj: Linear | undefined;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  readonly conv_shortcut: Conv2d | undefined; // only where the channel count changes

  constructor(inputs: number, outputs: number, { temb, groups, eps }: ResnetOptions) {
    super();
    this.norm1 = new GroupNorm(groups, inputs, { eps });
    this.conv1 = new Conv2d(inputs, outputs, 3, { padding: 1 });
    this.time_emb_proj = temb === undefined ? undefined : new Linear(temb, outputs);
    this.norm2 = new GroupNorm(groups, outputs, { eps });
    this.conv2 = new Conv2d(outputs, outputs, 3, { padding: 1 });
    this.conv_shortcut = inputs === outputs ? undefined : new Conv2d(inputs, outputs, 1);
  }

  /** `x` [n, h, w, in], `shift` [n or 1, out] = time_emb_proj(silu(time embedding)) → [n, h, w, out]. */
  forward(x: Tensor, shift?: Tensor): Tensor {
    return chain(x, [
      (h) => this.norm1.forward(h, { silu: true }),
      (h) => this.conv1.forward(h, shift ? { shift } : {}),
      (h) => this.norm2.forward(h, { silu: true }),
      (h) => this.conv2.forward(h, { residual: this.conv_shortcut?.forward(x) ?? x }),
    ]);
  }
}

/** Halves an image. The VAE pads below and on the right only. */
export class Downsample2D extends Module {
  readonly conv: Conv2d;

  constructor(channels: number, { asymmetric = false }: { asymmetric?: boolean } = {}) {
    super();
    const padding = asymmetric ? { top: 0, bottom: 1, left: 0, right: 1 } : 1;
    this.conv = new Conv2d(channels, channels, 3, { stride: 2, padding });
  }

  /** [n, h, w, c] → [n, ⌈h/2⌉, ⌈w/2⌉, c] (asymmetric: rounded down). */
  forward(x: Tensor): Tensor {
    return this.conv.forward(x);
  }
}

/** Enlarges an image by repeating pixels, then a 3x3 convolution. */
export class Upsample2D extends Module {
  readonly conv: Conv2d;

  constructor(channels: number) {
    super();
    this.conv = new Conv2d(channels, channels, 3, { padding: 1 });
  }

  /** [n, h, w, c] → [n, ...size, c]; twice the size unless `size` says otherwise. */
  forward(x: Tensor, size?: readonly [h: number, w: number]): Tensor {
    const [, h = 0, w = 0] = x.shape;
    const [height, width] = size ?? [2 * h, 2 * w];
    return chain(x, [(small) => interpolate(small, { size: [height, width] }), (large) => this.conv.forward(large)]);
  }
}
