import type { Command } from "commander";
import { LR_SCHEDULERS } from "../training/lr_scheduler.ts";

// Declared apart from what checks them: a mistake on the command line is answered before the library is read.

/** Options that every training has. */
function addLoopOptions(command: Command, rate: string): Command {
  return command
    .option("--dataset_dir <dir>", "training pairs in the layout of VITON-HD or Dress Code")
    .option("--drawn <n>", "or that many drawn pairs, made as they are needed")
    .option("--drawn_seed <n>", "which drawn pairs", "0")
    .option("--dataloader_num_workers <n>", "threads that read or draw pairs (default: the processors but one)")
    .option("--augment", "mirror, move, scale and tint the pairs")
    .option("--width <pixels>", "width of the pictures, a multiple of 8", "384")
    .option("--height <pixels>", "height of the pictures, a multiple of 8", "512")
    .option("--resolution <pixels>", "both of these at once, for square pictures")
    .option("--output_dir <dir>", "folder for checkpoints and logs", "training")
    .option("--train_batch_size <n>", "pairs of one forward pass", "4")
    .option("--gradient_accumulation_steps <n>", "forward passes of one optimiser step", "1")
    .option("--learning_rate <x>", "AdamW's", rate)
    .option("--lr_scheduler <name>", LR_SCHEDULERS.join(", "), "constant")
    .option("--lr_warmup_steps <n>", "optimiser steps in which the rate grows from zero; constant has none", "0")
    .option("--lr_num_cycles <n>", "restarts of cosine_with_restarts", "1")
    .option("--lr_power <x>", "exponent of polynomial", "1.0")
    .option("--max_train_steps <n>", "optimiser steps; without it the epochs count")
    .option("--num_train_epochs <n>", "passes over the pairs", "1")
    .option("--checkpointing_steps <n>", "a checkpoint every so many steps", "500")
    .option("--checkpoints_total_limit <n>", "how many are kept")
    .option("--resume_from_checkpoint <name>", 'a checkpoint-N of --output_dir, or "latest"')
    .option("--max_grad_norm <x>", "larger gradients are scaled down to it", "1.0")
    .option("--adam_beta1 <x>", "decay of the mean", "0.9")
    .option("--adam_beta2 <x>", "decay of the squares", "0.999")
    .option("--adam_weight_decay <x>", "weight decay", "1e-2")
    .option("--adam_epsilon <x>", "AdamW's epsilon", "1e-8")
    .option("--use_ema", "also keep a moving average of the weights")
    .option("--ema_decay <x>", "its largest decay", "0.9999")
    .option("--seed <n>", "of noise, order and fresh weights", "0")
    .option("--report_to <name>", "tensorboard, jsonl or none", "jsonl")
    .option("--logging_dir <dir>", "folder for logs inside --output_dir", "logs")
    .option("--validation_steps <n>", "pictures from held-out pairs every so many steps");
}

/** Names of the options on the command line, without those that have their defaults. */
export const givenTo = (command: Command): ReadonlySet<string> =>
  new Set(Object.keys(command.opts()).filter((name) => command.getOptionValueSource(name) === "cli"));

/** Declares `toile train`. */
export function addTrain(toile: Command): Command {
  const command = toile
    .command("train")
    .description("train both UNets of the try-on together")
    .option("--pretrained_model_name_or_path <dir>", "where the weights begin (default: the small checkpoint shipped)")
    .option("--masks <which>", "made from label maps and key points, or given: the set's own", "made")
    .option("--unet_config <file>", "begin with fresh UNets of this config.json instead of the folder's")
    .option("--model <name>", "hd: the garment's picture conditions; dc: also its category", "hd")
    .option("--fusion <name|file>", "how the garment enters: a name, or a file that exports a strategy", "concat")
    .option(
      "--train <subset>",
      "full, attention, fusion (self-attentions), or strategy (--fusion's own weights)",
      "full",
    )
    .option("--mixed_precision <name>", "no, or fp16: half-precision networks, float32 masters", "no")
    .option("--garment_dropout <x>", "share of the samples whose garment is left out", "0.1")
    .option("--snr_gamma <x>", "weigh timesteps by min-SNR")
    .option("--noise_offset <x>", "strength of an offset added to the noise", "0")
    .option("--timestep_bias_strategy <name>", "timesteps drawn more often: none, earlier, later or range", "none")
    .option("--timestep_bias_multiplier <x>", "how much more often", "1")
    .option("--timestep_bias_portion <x>", "which share of all timesteps is earlier or later", "0.25")
    .option("--timestep_bias_begin <n>", "first timestep of the range", "0")
    .option("--timestep_bias_end <n>", "end of the range", "1000")
    .option(
      "--gradient_checkpointing",
      "run layers again in the backward pass: a third more time, a fifth of the memory",
    )
    .option("--cache_latents", "encode every pair once and keep what comes out in memory");
  return addLoopOptions(command, "5e-5");
}

/** Declares `toile train-vae`. */
export function addTrainVae(toile: Command): Command {
  const command = toile
    .command("train-vae")
    .description("train the autoencoder on random crops of persons and garments")
    .option("--pretrained_model_name_or_path <dir>", "folder with ootd/vae to go on from")
    .option("--vae_config <file>", "begin with a fresh autoencoder of this config.json")
    .option("--crop <pixels>", "side of the crops", "64")
    .option("--kl_weight <x>", "weight of the latents' divergence from normal", "1e-6");
  return addLoopOptions(command, "1e-3");
}
