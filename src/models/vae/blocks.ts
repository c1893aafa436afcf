import { Attention } from "../../nn/attention.ts";
import { chain } from "../../nn/chain.ts";
import { Module } from "../../nn/module.ts";
import { GroupNorm } from "../../nn/norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Downsample2D, ResnetBlock2D, Upsample2D, type ResnetOptions } from "../blocks.ts";

/** Self-attention over the pixels of an image, with one head and a skip. */
class ImageAttention extends Module {
  readonly group_norm: GroupNorm;
  readonly to_q: Attention["to_q"];
  readonly to_k: Attention["to_k"];
  readonly to_v: Attention["to_v"];
  readonly to_out: Attention["to_out"];
  readonly #attention: Attention;

  constructor(channels: number, { groups, eps }: ResnetOptions) {
    super();
    this.group_norm = new GroupNorm(groups, channels, { eps });
    this.#attention = new Attention(channels, { heads: 1, bias: true });
    ({ to_q: this.to_q, to_k: this.to_k, to_v: this.to_v, to_out: this.to_out } = this.#attention);
  }

  /** `x` [n, h, w, c] → the same shape. */
  forward(x: Tensor): Tensor {
    const [n = 0, h = 0, w = 0, c = 0] = x.shape;
    return x.device.scope(() => {
      const tokens = this.group_norm.forward(x).reshape(n, h * w, c);
      return this.#attention.forward(tokens, { residual: x.reshape(n, h * w, c) }).reshape(n, h, w, c);
    });
  }
}

/** Resnet, attention, resnet at the smallest size. */
export class MidBlock extends Module {
  readonly resnets: readonly [ResnetBlock2D, ResnetBlock2D];
  readonly attentions: readonly [ImageAttention];

  constructor(channels: number, options: ResnetOptions) {
    super();
    this.resnets = [new ResnetBlock2D(channels, channels, options), new ResnetBlock2D(channels, channels, options)];
    this.attentions = [new ImageAttention(channels, options)];
  }

  /** `x` [n, h, w, c] → the same shape. */
  forward(x: Tensor): Tensor {
    return chain(x, [
      (h) => this.resnets[0].forward(h),
      (h) => this.attentions[0].forward(h),
      (h) => this.resnets[1].forward(h),
    ]);
  }
}

/** Resnets, then a halving unless it is the last. */
export class DownEncoderBlock2D extends Module {
  readonly resnets: readonly ResnetBlock2D[];
  readonly downsamplers: readonly [Downsample2D] | undefined;

  constructor(inputs: number, outputs: number, layers: number, last: boolean, options: ResnetOptions) {
    super();
    this.resnets = resnets(inputs, outputs, layers, options);
    this.downsamplers = last ? undefined : [new Downsample2D(outputs, { asymmetric: true })];
  }

  /** `x` [n, h, w, in] → [n, h/2, w/2, out], or [n, h, w, out] from the last. */
  forward(x: Tensor): Tensor {
    return chain(x, [
      ...this.resnets.map((resnet) => (h: Tensor) => resnet.forward(h)),
      (h) => this.downsamplers?.[0].forward(h) ?? h,
    ]);
  }
}

/** Resnets, then a doubling unless it is the last. */
export class UpDecoderBlock2D extends Module {
  readonly resnets: readonly ResnetBlock2D[];
  readonly upsamplers: readonly [Upsample2D] | undefined;

  constructor(inputs: number, outputs: number, layers: number, last: boolean, options: ResnetOptions) {
    super();
    this.resnets = resnets(inputs, outputs, layers, options);
    this.upsamplers = last ? undefined : [new Upsample2D(outputs)];
  }

  /** `x` [n, h, w, in] → [n, 2h, 2w, out], or [n, h, w, out] from the last. */
  forward(x: Tensor): Tensor {
    return chain(x, [
      ...this.resnets.map((resnet) => (h: Tensor) => resnet.forward(h)),
      (h) => this.upsamplers?.[0].forward(h) ?? h,
    ]);
  }
}

const resnets = (inputs: number, outputs: number, layers: number, options: ResnetOptions): ResnetBlock2D[] =>
  Array.from({ length: layers }, (_, i) => new ResnetBlock2D(i === 0 ? inputs : outputs, outputs, options));
