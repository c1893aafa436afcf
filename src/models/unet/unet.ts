import { chain } from "../../nn/chain.ts";
import { Conv2d } from "../../nn/conv2d.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { GroupNorm } from "../../nn/norm.ts";
import { cast, silu, timestepEmbedding } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { InputError, ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { ResnetBlock2D } from "../blocks.ts";
import { DownBlock, MidBlock, UpBlock, type BlockOptions } from "./blocks.ts";
import { TextKeyValues, TimeShifts, type Conditioning, type StepShifts, type TextReader } from "./conditioning.ts";
import { headsOf, parseUNetConfig, type UNetConfig } from "./config.ts";
import { Capture, selfOnly, type Fusion } from "./fusion.ts";
import { BasicTransformerBlock } from "./transformer.ts";

export interface UNetOptions {
  /** What self-attentions do. Default: the plain network. */
  readonly fusion?: Fusion;
  /**
   * Under a tape: keep the inputs of each resnet with its transformer, and run both again when gradients flow back. What
   * the fusion reads must live until then: `prepare` it before, dispose of it after the backward pass. Default: no.
   */
  readonly checkpointing?: boolean;
}

/** From sines and cosines of the time to the embedding that resnets read. */
class TimestepEmbedding extends Module {
  readonly linear_1: Linear;
  readonly linear_2: Linear;

  constructor(inputs: number, outputs: number) {
    super();
    this.linear_1 = new Linear(inputs, outputs);
    this.linear_2 = new Linear(outputs, outputs);
  }

  /** [n, in] → [n, out]. */
  forward(x: Tensor): Tensor {
    return this.linear_2.forward(this.linear_1.forward(x, { activation: "silu" }));
  }
}

/**
 * Stable Diffusion's denoising network (Rombach et al. 2022, arXiv 2112.10752), as diffusers' checkpoints have it.
 * What does not change between steps is computed by `encodeTime` and `encodeText` before the first one.
 */
export class UNet2DConditionModel extends Module {
  readonly conv_in: Conv2d;
  readonly time_embedding: TimestepEmbedding;
  readonly down_blocks: readonly DownBlock[];
  readonly mid_block: MidBlock;
  readonly up_blocks: readonly UpBlock[];
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;
  /** The checkpoint's config.json, defaults filled in. */
  readonly config: UNetConfig;

  /**
   * @param json the checkpoint's config.json
   * @throws {InputError} naming each field that asks for what is not implemented.
   */
  constructor(json: unknown) {
    super();
    const config = parseUNetConfig(json);
    const { block_out_channels: channels, norm_num_groups: groups, norm_eps: eps } = config;
    const first = channels[0]!;
    this.config = config;
    this.conv_in = new Conv2d(config.in_channels, first, 3, { padding: 1 });
    this.time_embedding = new TimestepEmbedding(first, 4 * first);
    this.down_blocks = downBlocks(config);
    const mid = blockOptions(config, channels.length - 1, true);
    this.mid_block = new MidBlock(channels.at(-1)!, mid.resnet, mid.transformer!);
    this.up_blocks = upBlocks(config);
    this.conv_norm_out = new GroupNorm(groups, first, { eps });
    this.conv_out = new Conv2d(first, config.out_channels, 3, { padding: 1 });
    for (const [i, block] of this.transformerBlocks().entries()) block.index = i;
  }

  /** Every transformer block, in the order in which they run. */
  transformerBlocks(): BasicTransformerBlock[] {
    return [...this.modules()].map(([, module]) => module).filter((module) => module instanceof BasicTransformerBlock);
  }

  /** Every resnet's shift for each of `timesteps`. */
  encodeTime(timesteps: readonly number[]): TimeShifts {
    const { flip_sin_to_cos: flipSinToCos, freq_shift: downscaleFreqShift, block_out_channels: channels } = this.config;
    const { device, dtype } = this.conv_in.weight.tensor;
    return device.scope(() => {
      const waves = timestepEmbedding(device, timesteps, channels[0]!, { flipSinToCos, downscaleFreqShift });
      const embedding = silu(this.time_embedding.forward(cast(waves, dtype)));
      const shifts = new Map<Module, Tensor>();
      for (const [, module] of this.modules())
        if (module instanceof ResnetBlock2D) shifts.set(module, module.time_emb_proj!.forward(embedding));
      return new TimeShifts(device, timesteps.length, shifts);
    });
  }

  /** Keys and values of every cross-attention for the text encoder's `hidden` [n or 1, t, cross_attention_dim]. */
  encodeText(hidden: Tensor): TextKeyValues {
    const width = this.config.cross_attention_dim;
    if (hidden.shape.length !== 3 || hidden.shape[2] !== width)
      throw new ShapeError("encodeText", `hidden is ${show(hidden.shape)}, [n, t, ${width}] is needed`);
    return hidden.device.scope(() => {
      const entries = this.transformerBlocks().map((block) => [block, block.attn2.keysValues(hidden)] as const);
      return new TextKeyValues(hidden.device, new Map(entries));
    });
  }

  /**
   * The network's output, such as the noise in `sample`.
   * @param sample [n, h, w, in_channels]
   * @param time one step of `encodeTime`'s result
   * @param text `encodeText`'s result, of a batch of n or 1
   * @returns [n, h, w, out_channels]
   */
  forward(
    sample: Tensor,
    time: StepShifts,
    text: TextReader,
    { fusion = selfOnly, checkpointing = false }: UNetOptions = {},
  ): Tensor {
    const conditioning = { time, text, fusion, checkpointing };
    return sample.device.scope(() => {
      const states = this.#down(fusion.input?.(sample) ?? sample, conditioning);
      return chain(states.at(-1)!, [
        (h) => this.mid_block.forward(h, conditioning),
        ...this.#up(states, conditioning).map(({ run }) => run),
        (h) => this.conv_norm_out.forward(h, { silu: true }),
        (h) => this.conv_out.forward(h),
        (predicted) => fusion.output?.(predicted) ?? predicted,
      ]);
    });
  }

  /**
   * What every transformer block takes before its norm1, [n, t, c] each, in the order in which they run. Stops there:
   * the rest of the last block and the output layers are not run.
   */
  features(
    sample: Tensor,
    time: StepShifts,
    text: TextReader,
    { checkpointing = false }: Pick<UNetOptions, "checkpointing"> = {},
  ): Tensor[] {
    const capture = new Capture();
    const conditioning = { time, text, fusion: capture, checkpointing };
    const last = this.up_blocks.findLastIndex((block) => block.attentions);
    if (last < 0) throw new InputError("features", "no up block has a transformer");
    const { device } = sample;
    try {
      const tokens = device.scope(() => {
        const states = this.#down(sample, conditioning);
        const ups = this.#up(states, conditioning);
        const { block, skips } = ups[last]!;
        return chain(states.at(-1)!, [
          (h) => this.mid_block.forward(h, conditioning),
          ...ups.slice(0, last).map(({ run }) => run),
          (h) => block.features(h, skips, conditioning),
        ]);
      });
      for (const captured of capture.tokens) device.adopt(captured); // the caller's scope owns them now
      return [...capture.tokens, tokens];
    } catch (error) {
      capture.dispose();
      throw error;
    }
  }

  /** Every state that the up blocks will read, the last of which is the mid block's input. */
  #down(sample: Tensor, conditioning: Conditioning): Tensor[] {
    const channels = sample.shape[3];
    if (sample.shape.length !== 4 || channels !== this.config.in_channels)
      throw new ShapeError(
        "UNet2DConditionModel",
        `sample is ${show(sample.shape)}, [n, h, w, ${this.config.in_channels}] is needed`,
      );
    const states = [this.conv_in.forward(sample)];
    for (const block of this.down_blocks) states.push(...block.forward(states.at(-1)!, conditioning));
    return states;
  }

  /** Each up block with the states it reads. It enlarges to the size of the next block's states. */
  #up(states: readonly Tensor[], conditioning: Conditioning): UpStep[] {
    const unread = [...states];
    return this.up_blocks.map((block) => {
      const skips = unread.splice(-block.resnets.length).reverse();
      const [, h, w] = unread.at(-1)?.shape ?? [];
      const size = h && w ? ([h, w] as const) : undefined;
      return { block, skips, run: (x) => block.forward(x, skips, conditioning, size) };
    });
  }
}

interface UpStep {
  readonly block: UpBlock;
  readonly skips: readonly Tensor[];
  readonly run: (x: Tensor) => Tensor;
}

function blockOptions(config: UNetConfig, level: number, crossAttention: boolean): BlockOptions {
  const { block_out_channels: channels, norm_num_groups: groups, norm_eps: eps } = config;
  const transformer = {
    heads: headsOf(config.attention_head_dim, level),
    context: config.cross_attention_dim,
    layers: config.transformer_layers_per_block,
    groups,
    useLinearProjection: config.use_linear_projection,
  };
  return { resnet: { temb: 4 * channels[0]!, groups, eps }, transformer: crossAttention ? transformer : undefined };
}

function downBlocks(config: UNetConfig): DownBlock[] {
  const { block_out_channels: channels, down_block_types: types, layers_per_block: layers } = config;
  return types.map((type, level) => {
    const options = blockOptions(config, level, type === "CrossAttnDownBlock2D");
    return new DownBlock(
      channels[Math.max(level - 1, 0)]!,
      channels[level]!,
      layers,
      level === types.length - 1,
      options,
    );
  });
}

/** The up blocks mirror the down blocks and have one resnet more: it reads the state before the mirrored block. */
function upBlocks(config: UNetConfig): UpBlock[] {
  const { block_out_channels: channels, up_block_types: types, layers_per_block: layers } = config;
  return types.map((type, i) => {
    const level = types.length - 1 - i;
    const options = blockOptions(config, level, type === "CrossAttnUpBlock2D");
    const inputs = channels[Math.min(level + 1, types.length - 1)]!;
    const outputs = channels[level]!;
    const skips = [...Array.from({ length: layers }, () => outputs), channels[Math.max(level - 1, 0)]!];
    return new UpBlock({ inputs, outputs, skips }, level === 0, options);
  });
}
