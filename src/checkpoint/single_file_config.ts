import type { TensorInfo } from "./source.ts";

type Tensors = ReadonlyMap<string, Pick<TensorInfo, "shape">>;
type Config = Readonly<Record<string, unknown>>;

/**
 * The scheduler of Stable Diffusion 1, as its repository has it: a single file brings none. What it leaves out, such as
 * the spacing of timesteps, is each class's own default.
 */
export const SD1_SCHEDULER: Config = {
  _class_name: "PNDMScheduler",
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  clip_sample: false,
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
};

const size = (tensors: Tensors, name: string, axis: number): number => tensors.get(name)?.shape[axis] ?? 0;

/** Numbers i for which `name(i)` is there, counted from 0. */
function run(tensors: Tensors, name: (i: number) => string): number[] {
  const found: number[] = [];
  while (tensors.has(name(found.length))) found.push(found.length);
  return found;
}

/** Normalisation groups: 32 in every published model; a smaller one must have a divisor of its channels. */
const groups = (channels: readonly number[]): number =>
  [32, 16, 8, 4, 2].find((count) => channels.every((n) => n % count === 0)) ?? 1;

/** The config.json that a UNet's tensors (diffusers' names) speak of; 8 heads and the rest as Stable Diffusion 1 has. */
export function unetConfig(tensors: Tensors): Config {
  const levels = run(tensors, (i) => `down_blocks.${i}.resnets.0.conv1.weight`);
  const channels = levels.map((i) => size(tensors, `down_blocks.${i}.resnets.0.conv1.weight`, 0));
  const attention = (side: string) => levels.map((i) => tensors.has(`${side}_blocks.${i}.attentions.0.norm.weight`));
  const mid = "mid_block.attentions.0";
  return {
    _class_name: "UNet2DConditionModel",
    in_channels: size(tensors, "conv_in.weight", 1),
    out_channels: size(tensors, "conv_out.weight", 0),
    block_out_channels: channels,
    down_block_types: attention("down").map((has) => (has ? "CrossAttnDownBlock2D" : "DownBlock2D")),
    up_block_types: attention("up").map((has) => (has ? "CrossAttnUpBlock2D" : "UpBlock2D")),
    layers_per_block: run(tensors, (i) => `down_blocks.0.resnets.${i}.conv1.weight`).length,
    transformer_layers_per_block: run(tensors, (i) => `${mid}.transformer_blocks.${i}.norm1.weight`).length,
    cross_attention_dim: size(tensors, `${mid}.transformer_blocks.0.attn2.to_k.weight`, 1),
    use_linear_projection: tensors.get(`${mid}.proj_in.weight`)?.shape.length === 2,
    attention_head_dim: 8,
    norm_num_groups: groups(channels),
    sample_size: 64,
  };
}

/** The config.json that an autoencoder's tensors (diffusers' names) speak of. */
export function vaeConfig(tensors: Tensors): Config {
  const levels = run(tensors, (i) => `encoder.down_blocks.${i}.resnets.0.conv1.weight`);
  const channels = levels.map((i) => size(tensors, `encoder.down_blocks.${i}.resnets.0.conv1.weight`, 0));
  return {
    _class_name: "AutoencoderKL",
    in_channels: size(tensors, "encoder.conv_in.weight", 1),
    out_channels: size(tensors, "decoder.conv_out.weight", 0),
    latent_channels: size(tensors, "post_quant_conv.weight", 0),
    block_out_channels: channels,
    down_block_types: levels.map(() => "DownEncoderBlock2D"),
    up_block_types: levels.map(() => "UpDecoderBlock2D"),
    layers_per_block: run(tensors, (i) => `encoder.down_blocks.0.resnets.${i}.conv1.weight`).length,
    norm_num_groups: groups(channels),
    sample_size: 512,
    scaling_factor: 0.18215,
  };
}

/** The config.json that a text encoder's tensors speak of; heads of 64 channels, as in CLIP. */
export function textConfig(tensors: Tensors): Config {
  const hidden = size(tensors, "text_model.embeddings.token_embedding.weight", 1);
  return {
    architectures: ["CLIPTextModel"],
    model_type: "clip_text_model",
    hidden_act: "quick_gelu",
    hidden_size: hidden,
    intermediate_size: size(tensors, "text_model.encoder.layers.0.mlp.fc1.weight", 0),
    max_position_embeddings: size(tensors, "text_model.embeddings.position_embedding.weight", 0),
    num_attention_heads: Math.max(1, Math.floor(hidden / 64)),
    num_hidden_layers: run(tensors, (i) => `text_model.encoder.layers.${i}.layer_norm1.weight`).length,
    vocab_size: size(tensors, "text_model.embeddings.token_embedding.weight", 0),
  };
}
