import { chain } from "../../nn/chain.ts";
import { Module } from "../../nn/module.ts";
import { concat } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Downsample2D, ResnetBlock2D, Upsample2D, type ResnetOptions } from "../blocks.ts";
import { runPart } from "./checkpointing.ts";
import type { Conditioning } from "./conditioning.ts";
import { Transformer2DModel, type TransformerOptions } from "./transformer.ts";

export interface BlockOptions {
  readonly resnet: ResnetOptions;
  /** Absent: resnets only. */
  readonly transformer: TransformerOptions | undefined;
}

/** Resnets, each with a transformer where `transformer` is given, then a halving unless it is the last. */
export class DownBlock extends Module {
  readonly resnets: readonly ResnetBlock2D[];
  readonly attentions: readonly Transformer2DModel[] | undefined;
  readonly downsamplers: readonly [Downsample2D] | undefined;

  constructor(inputs: number, outputs: number, layers: number, last: boolean, { resnet, transformer }: BlockOptions) {
    super();
    this.resnets = Array.from(
      { length: layers },
      (_, i) => new ResnetBlock2D(i === 0 ? inputs : outputs, outputs, resnet),
    );
    this.attentions = transformer && this.resnets.map(() => new Transformer2DModel(outputs, transformer));
    this.downsamplers = last ? undefined : [new Downsample2D(outputs)];
  }

  /** `x` [n, h, w, in] → every state that an up block will read; the last is the block's output. */
  forward(x: Tensor, conditioning: Conditioning): Tensor[] {
    const states: Tensor[] = [];
    for (const [i, resnet] of this.resnets.entries()) {
      const layer = (own: Conditioning, x: Tensor) =>
        chain(x, [(h) => resnet.forward(h, own.time.of(resnet)), (h) => this.attentions?.[i]?.forward(h, own) ?? h]);
      states.push(runPart(conditioning, layer, states.at(-1) ?? x));
    }
    if (this.downsamplers) states.push(this.downsamplers[0].forward(states.at(-1)!));
    return states;
  }
}

/** Resnet, transformer, resnet at the smallest size. */
export class MidBlock extends Module {
  readonly resnets: readonly [ResnetBlock2D, ResnetBlock2D];
  readonly attentions: readonly [Transformer2DModel];

  constructor(channels: number, resnet: ResnetOptions, transformer: TransformerOptions) {
    super();
    this.resnets = [new ResnetBlock2D(channels, channels, resnet), new ResnetBlock2D(channels, channels, resnet)];
    this.attentions = [new Transformer2DModel(channels, transformer)];
  }

  /** `x` [n, h, w, c] → the same shape. */
  forward(x: Tensor, conditioning: Conditioning): Tensor {
    const [before, after] = this.resnets;
    const whole = (own: Conditioning, x: Tensor) =>
      chain(x, [
        (h) => before.forward(h, own.time.of(before)),
        (h) => this.attentions[0].forward(h, own),
        (h) => after.forward(h, own.time.of(after)),
      ]);
    return runPart(conditioning, whole, x);
  }
}

export interface UpChannels {
  /** Of the block's input. */
  readonly inputs: number;
  readonly outputs: number;
  /** Of the states that come from the down blocks: one for each resnet. */
  readonly skips: readonly number[];
}

/** Resnets that also read the down blocks' states, each with a transformer, then a doubling unless it is the last. */
export class UpBlock extends Module {
  readonly resnets: readonly ResnetBlock2D[];
  readonly attentions: readonly Transformer2DModel[] | undefined;
  readonly upsamplers: readonly [Upsample2D] | undefined;

  constructor({ inputs, outputs, skips }: UpChannels, last: boolean, { resnet, transformer }: BlockOptions) {
    super();
    this.resnets = skips.map((skip, i) => new ResnetBlock2D((i === 0 ? inputs : outputs) + skip, outputs, resnet));
    this.attentions = transformer && this.resnets.map(() => new Transformer2DModel(outputs, transformer));
    this.upsamplers = last ? undefined : [new Upsample2D(outputs)];
  }

  /**
   * @param x [n, h, w, in]
   * @param skips one state for each resnet, in the order in which they read them
   * @param size height and width of the next block's states, where this block enlarges
   * @returns [n, h or size, w or size, out]
   */
  forward(x: Tensor, skips: readonly Tensor[], conditioning: Conditioning, size?: readonly [number, number]): Tensor {
    return chain(x, [
      ...this.resnets.flatMap((_, i) => this.#layer(i, skips[i]!, conditioning)),
      (h) => (this.upsamplers ? runPart(conditioning, (_, x) => this.upsamplers![0].forward(x, size), h) : h),
    ]);
  }

  /** Runs as far as the tokens that the last transformer block takes, and returns them [n, t, out]. */
  features(x: Tensor, skips: readonly Tensor[], conditioning: Conditioning): Tensor {
    const last = this.resnets.length - 1;
    const layers = this.resnets.slice(0, last).flatMap((_, i) => this.#layer(i, skips[i]!, conditioning));
    const tokens = (own: Conditioning, x: Tensor, skip: Tensor) =>
      chain(x, [this.#resnet(last, skip, own), (h) => this.attentions![last]!.features(h, own)]);
    return chain(x, [...layers, (h) => runPart(conditioning, tokens, h, skips[last]!)]);
  }

  /** The steps of a layer; with checkpointing it is one, of which the input is kept. */
  #layer(i: number, skip: Tensor, conditioning: Conditioning): ((x: Tensor) => Tensor)[] {
    const attention = this.attentions?.[i];
    const steps = (own: Conditioning, skip: Tensor) => {
      const first = this.#resnet(i, skip, own);
      return attention ? [first, (x: Tensor) => attention.forward(x, own)] : [first];
    };
    if (!conditioning.checkpointing) return steps(conditioning, skip);
    return [(x) => runPart(conditioning, (own, x, skip) => chain(x, steps(own, skip!)), x, skip)];
  }

  #resnet(i: number, skip: Tensor, { time }: Conditioning): (x: Tensor) => Tensor {
    const resnet = this.resnets[i]!;
    return (x) => resnet.forward(concat([x, skip], -1), time.of(resnet));
  }
}
