import { isAbsolute, normalize } from "node:path";
import { z } from "zod";
import { defaultWorkers } from "../node/data/pool.ts";
import { LR_SCHEDULERS } from "../training/lr_scheduler.ts";
import { SUBSETS, type Subset } from "../training/masters.ts";
import { TIMESTEP_BIAS_STRATEGIES } from "../training/noise_levels.ts";
import { file, oneOf, real, size, whole } from "./options.ts";

const MANY = 1e9;
const count = whole(1, MANY);
const flag = z.boolean().default(false);
const rate = real(1e-12, 1e6);
const share = real(0, 1);
const decay = real(0, 0.9999999); // at 1 nothing is ever taken in

/** Whether a path leads further into the folder that it is relative to. */
const isWithin = (path: string): boolean =>
  path !== "" && !isAbsolute(path) && !/^\.\.?([/\\]|$)/.test(normalize(path));

/** Options that every training has, under the names of diffusers' training scripts. */
export const loopOptions = {
  dataset_dir: file.optional(),
  drawn: count.optional(),
  drawn_seed: whole(0, 2 ** 32 - 1),
  augment: flag,
  dataloader_num_workers: whole(0, 64).default(defaultWorkers()),
  resolution: size.optional(),
  width: size,
  height: size,
  output_dir: file,
  train_batch_size: whole(1, 4096),
  gradient_accumulation_steps: whole(1, 4096),
  learning_rate: rate,
  lr_scheduler: oneOf(LR_SCHEDULERS),
  lr_warmup_steps: whole(0, MANY),
  lr_num_cycles: count,
  lr_power: rate,
  max_train_steps: count.optional(),
  num_train_epochs: count,
  checkpointing_steps: count,
  checkpoints_total_limit: count.optional(),
  resume_from_checkpoint: file.optional(),
  max_grad_norm: rate,
  adam_beta1: decay,
  adam_beta2: decay,
  adam_weight_decay: share,
  adam_epsilon: rate,
  use_ema: flag,
  ema_decay: decay,
  seed: whole(0, 2 ** 32 - 1),
  report_to: oneOf(["tensorboard", "jsonl", "none"]),
  logging_dir: z.string().refine(isWithin, "is no folder inside --output_dir"),
  validation_steps: count.optional(),
};

/** Pictures as high as wide, where that was asked for. */
const squared = <T extends { resolution?: number | undefined; width: number; height: number }>(options: T): T => {
  const { resolution: side } = options;
  return side === undefined ? options : { ...options, width: side, height: side };
};

export const TrainOptions = z
  .object({
    ...loopOptions,
    masks: oneOf(["made", "given"]),
    pretrained_model_name_or_path: file.optional(),
    unet_config: file.optional(),
    model: oneOf(["hd", "dc"]),
    fusion: file,
    train: oneOf(Object.keys(SUBSETS) as [Subset, ...Subset[]]),
    mixed_precision: oneOf(["no", "fp16"]),
    garment_dropout: share,
    snr_gamma: rate.optional(),
    noise_offset: share,
    timestep_bias_strategy: oneOf(TIMESTEP_BIAS_STRATEGIES),
    timestep_bias_multiplier: rate,
    timestep_bias_portion: share,
    timestep_bias_begin: whole(0, MANY),
    timestep_bias_end: count,
    gradient_checkpointing: flag,
    cache_latents: flag,
  })
  .transform(squared)
  .superRefine(({ augment, cache_latents }, context) => {
    if (augment && cache_latents)
      context.addIssue({
        code: "custom",
        path: ["cache_latents"],
        message: "keeps each pair as it was first seen, so that --augment would vary nothing",
      });
  });

export type LoopArguments = z.infer<z.ZodObject<typeof loopOptions>>;
export type TrainArguments = z.infer<typeof TrainOptions>;

export const TrainVaeOptions = z
  .object({
    ...loopOptions,
    pretrained_model_name_or_path: file.optional(),
    vae_config: file.optional(),
    crop: whole(8, MANY).refine((value) => value % 8 === 0, "is not divisible by 8"),
    kl_weight: real(0, 1e6),
  })
  .transform(squared)
  .superRefine(({ crop, width, height }, context) => {
    if (crop > Math.min(width, height))
      context.addIssue({ code: "custom", path: ["crop"], message: `is larger than ${width}x${height}` });
  });

export type TrainVaeArguments = z.infer<typeof TrainVaeOptions>;
