import { UsageError } from "./errors.ts";
import type { LoopArguments, TrainArguments, TrainVaeArguments } from "./train_options.ts";

/** An option's name, whether it changes anything beside the others, and what to do where it does not. */
type Use = readonly [name: string, isUsed: boolean, otherwise: string];

const loopUses = ({ drawn, resolution, lr_scheduler, use_ema }: LoopArguments): Use[] => [
  ["drawn_seed", drawn !== undefined, "needs --drawn"],
  ["width", resolution === undefined, "is told by --resolution already: leave one out"],
  ["height", resolution === undefined, "is told by --resolution already: leave one out"],
  ["lr_num_cycles", lr_scheduler === "cosine_with_restarts", "needs --lr_scheduler cosine_with_restarts"],
  ["lr_power", lr_scheduler === "polynomial", "needs --lr_scheduler polynomial"],
  ["ema_decay", use_ema, "needs --use_ema"],
];

function tryOnUses(options: TrainArguments): Use[] {
  const { dataset_dir, timestep_bias_strategy: bias, timestep_bias_multiplier: multiplier } = options;
  const isShare = bias === "earlier" || bias === "later";
  return [
    ["masks", dataset_dir !== undefined, "needs --dataset_dir: drawn pairs have their own"],
    ["timestep_bias_multiplier", bias !== "none", "needs --timestep_bias_strategy"],
    ["timestep_bias_portion", isShare, "needs --timestep_bias_strategy earlier or later"],
    ["timestep_bias_begin", bias === "range", "needs --timestep_bias_strategy range"],
    ["timestep_bias_end", bias === "range", "needs --timestep_bias_strategy range"],
    ["timestep_bias_strategy", bias === "none" || multiplier !== 1, "needs a --timestep_bias_multiplier that is not 1"],
  ];
}

/**
 * Whoever gives an option means something: those that would change nothing are refused.
 * @param given names of the options on the command line, which those with their defaults are not
 */
function refuse(uses: readonly Use[], given: ReadonlySet<string>): void {
  const idle = uses.filter(([name, isUsed]) => given.has(name) && !isUsed);
  if (idle.length > 0) throw new UsageError(idle.map(([name, , otherwise]) => `--${name} ${otherwise}`).join("; "));
}

/** @throws UsageError that names every idle option of `toile train`, on one line */
export const refuseIdle = (options: TrainArguments, given: ReadonlySet<string>): void =>
  refuse([...loopUses(options), ...tryOnUses(options)], given);

/** The same of `toile train-vae`. */
export function refuseIdleVae(options: TrainVaeArguments, given: ReadonlySet<string>): void {
  const begin = "is not read where --vae_config begins afresh: leave one out";
  refuse([...loopUses(options), ["pretrained_model_name_or_path", options.vae_config === undefined, begin]], given);
}
