import { z } from "zod";
import { parseConfig, positive, type Fixed } from "../config.ts";

// Defaults: diffusers', but for the sizes, which are Stable Diffusion's.
const schema = z
  .object({
    in_channels: positive.default(3),
    out_channels: positive.default(3),
    latent_channels: positive.default(4),
    block_out_channels: z.array(positive).min(1).default([128, 256, 512, 512]),
    down_block_types: z.array(z.literal("DownEncoderBlock2D")).optional(),
    up_block_types: z.array(z.literal("UpDecoderBlock2D")).optional(),
    layers_per_block: positive.default(2),
    norm_num_groups: positive.default(32),
    scaling_factor: z.number().positive().default(0.18215),
  })
  .superRefine((config, context) => {
    const levels = config.block_out_channels.length;
    for (const field of ["down_block_types", "up_block_types"] as const) {
      const length = config[field]?.length ?? levels;
      if (length !== levels)
        context.addIssue({ code: "custom", path: [field], message: `${length} entries for ${levels} blocks` });
    }
    for (const [i, channels] of config.block_out_channels.entries())
      if (channels % config.norm_num_groups !== 0) {
        const message = `${channels} channels do not divide into ${config.norm_num_groups} groups`;
        context.addIssue({ code: "custom", path: ["block_out_channels", i], message });
      }
  });

const FIXED: Fixed = {
  act_fn: ["silu", "swish"],
  latents_mean: [null],
  latents_std: [null],
  mid_block_add_attention: [true],
  shift_factor: [null, 0],
  use_post_quant_conv: [true],
  use_quant_conv: [true],
};

/** A VAE's config.json: diffusers' field names. */
export type VaeConfig = z.output<typeof schema>;

/** @throws {InputError} naming each field that is malformed or asks for what is not implemented. */
export const parseVaeConfig = (json: unknown): VaeConfig => parseConfig("AutoencoderKL", json, schema, FIXED);
