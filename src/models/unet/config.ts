import { z } from "zod";
import { parseConfig, positive, type Fixed } from "../config.ts";

const perBlock = z.union([positive, z.array(positive)]);

// Defaults: Stable Diffusion 1.5's.
const schema = z
  .object({
    in_channels: positive.default(4),
    out_channels: positive.default(4),
    block_out_channels: z.array(positive).min(1).default([320, 640, 1280, 1280]),
    down_block_types: z
      .array(z.enum(["CrossAttnDownBlock2D", "DownBlock2D"]))
      .default(["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]),
    up_block_types: z
      .array(z.enum(["CrossAttnUpBlock2D", "UpBlock2D"]))
      .default(["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]),
    layers_per_block: positive.default(2),
    transformer_layers_per_block: positive.default(1),
    cross_attention_dim: positive.default(768),
    /** The number of heads, whatever the name says. */
    attention_head_dim: perBlock.default(8),
    norm_num_groups: positive.default(32),
    norm_eps: z.number().positive().default(1e-5),
    use_linear_projection: z.boolean().default(false),
    flip_sin_to_cos: z.boolean().default(true),
    freq_shift: z.number().default(0),
    sample_size: z.union([positive, z.array(positive), z.null()]).default(64),
  })
  .superRefine((config, context) => {
    const levels = config.block_out_channels.length;
    const counted = ["down_block_types", "up_block_types", "attention_head_dim"] as const;
    for (const field of counted) {
      const value = config[field];
      if (Array.isArray(value) && value.length !== levels)
        context.addIssue({ code: "custom", path: [field], message: `${value.length} entries for ${levels} blocks` });
    }
    for (const [i, channels] of config.block_out_channels.entries()) {
      const heads = headsOf(config.attention_head_dim, i);
      if (channels % config.norm_num_groups !== 0 || channels % heads !== 0)
        context.addIssue({
          code: "custom",
          path: ["block_out_channels", i],
          message: `${channels} channels do not divide into ${config.norm_num_groups} groups and ${heads} heads`,
        });
    }
  });

const FIXED: Fixed = {
  act_fn: ["silu", "swish"],
  addition_embed_type: [null],
  attention_type: ["default"],
  center_input_sample: [false],
  class_embed_type: [null],
  class_embeddings_concat: [false],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  cross_attention_norm: [null],
  downsample_padding: [1],
  dual_cross_attention: [false],
  encoder_hid_dim: [null],
  encoder_hid_dim_type: [null],
  mid_block_only_cross_attention: [null, false],
  mid_block_scale_factor: [1],
  mid_block_type: ["UNetMidBlock2DCrossAttn"],
  num_attention_heads: [null],
  num_class_embeds: [null],
  only_cross_attention: [false],
  resnet_out_scale_factor: [1],
  resnet_skip_time_act: [false],
  resnet_time_scale_shift: ["default"],
  reverse_transformer_layers_per_block: [null],
  time_cond_proj_dim: [null],
  time_embedding_act_fn: [null],
  time_embedding_dim: [null],
  time_embedding_type: ["positional"],
  timestep_post_act: [null],
};

/** A UNet's config.json: diffusers' field names. */
export type UNetConfig = z.output<typeof schema>;

/** @throws {InputError} naming each field that is malformed or asks for what is not implemented. */
export const parseUNetConfig = (json: unknown): UNetConfig => parseConfig("UNet2DConditionModel", json, schema, FIXED);

/** Heads of the blocks at one level. */
export const headsOf = (heads: number | readonly number[], level: number): number =>
  typeof heads === "number" ? heads : heads[level]!;
