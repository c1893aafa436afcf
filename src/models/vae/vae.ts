import { chain } from "../../nn/chain.ts";
import { Conv2d } from "../../nn/conv2d.ts";
import { Module } from "../../nn/module.ts";
import { GroupNorm } from "../../nn/norm.ts";
import { add, clamp, exp, mul, slice } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError } from "../../util/errors.ts";
import { sameShape, show } from "../../util/shape.ts";
import type { ResnetOptions } from "../blocks.ts";
import { DownEncoderBlock2D, MidBlock, UpDecoderBlock2D } from "./blocks.ts";
import { parseVaeConfig, type VaeConfig } from "./config.ts";

/** A normal distribution of latents, independent in every element. */
export class DiagonalGaussian {
  /** [n, h, w, latent channels]. */
  readonly mean: Tensor;
  /** Logarithm of the variance, between -30 and 20. */
  readonly logvar: Tensor;

  constructor(mean: Tensor, logvar: Tensor) {
    this.mean = mean;
    this.logvar = logvar;
  }

  /** The likeliest latents: the mean itself, not a copy. */
  mode(): Tensor {
    return this.mean;
  }

  /** mean + exp(logvar / 2) · noise, where `noise` is standard normal of the mean's shape. */
  sample(noise: Tensor): Tensor {
    if (!sameShape(noise.shape, this.mean.shape))
      throw new ShapeError("sample", `noise is ${show(noise.shape)} for latents ${show(this.mean.shape)}`);
    return noise.device.scope(() => add(this.mean, mul(exp(mul(this.logvar, 0.5)), noise)));
  }
}

const normOptions = ({ norm_num_groups: groups }: VaeConfig): ResnetOptions => ({ groups, eps: 1e-6 });

class Encoder extends Module {
  readonly conv_in: Conv2d;
  readonly down_blocks: readonly DownEncoderBlock2D[];
  readonly mid_block: MidBlock;
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;

  constructor(config: VaeConfig) {
    super();
    const { block_out_channels: channels, layers_per_block: layers } = config;
    const options = normOptions(config);
    const smallest = channels.at(-1)!;
    this.conv_in = new Conv2d(config.in_channels, channels[0]!, 3, { padding: 1 });
    this.down_blocks = channels.map((outputs, level) => {
      const inputs = channels[Math.max(level - 1, 0)]!;
      return new DownEncoderBlock2D(inputs, outputs, layers, level === channels.length - 1, options);
    });
    this.mid_block = new MidBlock(smallest, options);
    this.conv_norm_out = new GroupNorm(options.groups, smallest, { eps: options.eps });
    this.conv_out = new Conv2d(smallest, 2 * config.latent_channels, 3, { padding: 1 });
  }

  /** [n, h, w, image channels] → [n, h/8, w/8, 2 · latent channels]. */
  forward(x: Tensor): Tensor {
    return chain(x, [
      (h) => this.conv_in.forward(h),
      ...this.down_blocks.map((block) => (h: Tensor) => block.forward(h)),
      (h) => this.mid_block.forward(h),
      (h) => this.conv_norm_out.forward(h, { silu: true }),
      (h) => this.conv_out.forward(h),
    ]);
  }
}

class Decoder extends Module {
  readonly conv_in: Conv2d;
  readonly mid_block: MidBlock;
  readonly up_blocks: readonly UpDecoderBlock2D[];
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;

  constructor(config: VaeConfig) {
    super();
    const channels = [...config.block_out_channels].reverse();
    const options = normOptions(config);
    const layers = config.layers_per_block + 1;
    const [smallest, largest] = [channels[0]!, channels.at(-1)!];
    this.conv_in = new Conv2d(config.latent_channels, smallest, 3, { padding: 1 });
    this.mid_block = new MidBlock(smallest, options);
    this.up_blocks = channels.map((outputs, i) => {
      const inputs = channels[Math.max(i - 1, 0)]!;
      return new UpDecoderBlock2D(inputs, outputs, layers, i === channels.length - 1, options);
    });
    this.conv_norm_out = new GroupNorm(options.groups, largest, { eps: options.eps });
    this.conv_out = new Conv2d(largest, config.out_channels, 3, { padding: 1 });
  }

  /** [n, h, w, latent channels] → [n, 8h, 8w, image channels]. */
  forward(z: Tensor): Tensor {
    return chain(z, [
      (h) => this.conv_in.forward(h),
      (h) => this.mid_block.forward(h),
      ...this.up_blocks.map((block) => (h: Tensor) => block.forward(h)),
      (h) => this.conv_norm_out.forward(h, { silu: true }),
      (h) => this.conv_out.forward(h),
    ]);
  }
}

/** Between images and the latents that diffusion works on (Kingma and Welling 2013, arXiv 1312.6114). */
export class AutoencoderKL extends Module {
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  readonly quant_conv: Conv2d;
  readonly post_quant_conv: Conv2d;
  /** The checkpoint's config.json, defaults filled in. */
  readonly config: VaeConfig;

  /**
   * @param json the checkpoint's config.json
   * @throws {InputError} naming each field that asks for what is not implemented.
   */
  constructor(json: unknown) {
    super();
    const config = parseVaeConfig(json);
    const { latent_channels: latent } = config;
    this.config = config;
    this.encoder = new Encoder(config);
    this.decoder = new Decoder(config);
    this.quant_conv = new Conv2d(2 * latent, 2 * latent, 1);
    this.post_quant_conv = new Conv2d(latent, latent, 1);
  }

  /** Pixels of an image along a side for each latent: 8 in Stable Diffusion. */
  get scale(): number {
    return 2 ** (this.config.block_out_channels.length - 1);
  }

  /**
   * @param image [n, h, w, 3] in -1…1, both sides multiples of `scale`
   * @returns the distribution of its latents, not scaled by `scaling_factor`
   */
  encode(image: Tensor): DiagonalGaussian {
    const { in_channels: channels, latent_channels: latent } = this.config;
    const [, h = 0, w = 0, c] = image.shape;
    if (image.shape.length !== 4 || c !== channels || h % this.scale !== 0 || w % this.scale !== 0)
      throw new ShapeError(
        "encode",
        `image is ${show(image.shape)}, [n, h, w, ${channels}] with sides divisible by ${this.scale} is needed`,
      );
    return image.device.scope(() => {
      const moments = this.quant_conv.forward(this.encoder.forward(image));
      return new DiagonalGaussian(
        slice(moments, -1, 0, latent),
        clamp(slice(moments, -1, latent, 2 * latent), -30, 20),
      );
    });
  }

  /**
   * @param latents [n, h, w, latent channels], already divided by `scaling_factor`
   * @returns the image [n, scale · h, scale · w, 3], in -1…1 but for overshoot
   */
  decode(latents: Tensor): Tensor {
    const channels = this.config.latent_channels;
    if (latents.shape.length !== 4 || latents.shape[3] !== channels)
      throw new ShapeError("decode", `latents are ${show(latents.shape)}, [n, h, w, ${channels}] is needed`);
    return chain(latents, [(z) => this.post_quant_conv.forward(z), (z) => this.decoder.forward(z)]);
  }
}
