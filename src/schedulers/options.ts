import { InputError } from "../util/errors.ts";

/** A `scheduler_config.json` object. */
export type SchedulerConfig = Readonly<Record<string, unknown>>;

/** Options of diffusers' schedulers. A class ignores those of other classes, so that one file can serve several. */
const KNOWN = new Set(
  `algorithm_type base_image_seq_len base_shift beta_end beta_schedule beta_start clip_sample clip_sample_range
  disable_corrector dynamic_thresholding_ratio euler_at_final final_sigmas_type flow_shift interpolation_type
  invert_sigmas lambda_min_clipped lower_order_final max_image_seq_len max_shift num_train_timesteps
  original_inference_steps predict_x0 prediction_type rescale_betas_zero_snr sample_max_value set_alpha_to_one shift
  shift_terminal sigma_data sigma_max sigma_min skip_prk_steps solver_order solver_p solver_type steps_offset
  thresholding time_shift_type timestep_scaling timestep_spacing timestep_type trained_betas use_beta_sigmas
  use_dynamic_shifting use_exponential_sigmas use_flow_sigmas use_karras_sigmas use_lu_lambdas variance_type`.split(
    /\s+/,
  ),
);

/** Reads a scheduler's options with diffusers' defaults; null stands for an absent key. */
export class Options {
  readonly className: string;
  readonly #config: SchedulerConfig;

  constructor(className: string, config: SchedulerConfig) {
    this.className = className;
    this.#config = config;
    for (const [key, value] of Object.entries(config))
      if (!key.startsWith("_") && !KNOWN.has(key) && value !== null && value !== undefined && value !== false)
        throw new InputError(className, `no scheduler has an option ${key}`);
  }

  error(key: string, expected: string): InputError {
    return new InputError(this.className, `${key} is ${JSON.stringify(this.#config[key])}, ${expected}`);
  }

  number(key: string, fallback: number): number;
  number(key: string, fallback: undefined): number | undefined;
  number(key: string, fallback: number | undefined): number | undefined {
    const value = this.#config[key] ?? fallback;
    if (value !== undefined && !(typeof value === "number" && Number.isFinite(value)))
      throw this.error(key, "a number is needed");
    return value;
  }

  integer(key: string, fallback: number, least = 0, most = Infinity): number {
    const value = this.number(key, fallback);
    if (!Number.isInteger(value) || value < least || value > most)
      throw this.error(key, most === Infinity ? `an integer from ${least} is needed` : `${least} to ${most} is needed`);
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#config[key] ?? fallback;
    if (typeof value !== "boolean") throw this.error(key, "true or false is needed");
    return value;
  }

  choice<T extends string>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.#config[key] ?? fallback;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.error(key, `only ${choices.join(", ")} is implemented`);
    return found;
  }

  numbers(key: string): readonly number[] | undefined {
    const value = this.#config[key] ?? undefined;
    if (value !== undefined && !(Array.isArray(value) && value.every((item) => Number.isFinite(item))))
      throw this.error(key, "a list of numbers is needed");
    return value as readonly number[] | undefined;
  }

  /** Options that diffusers has and this library has not: anything but the value without effect is refused. */
  refuse(keys: Readonly<Record<string, unknown>>): void {
    for (const [key, harmless] of Object.entries(keys))
      if ((this.#config[key] ?? harmless) !== harmless) throw this.error(key, "which is not implemented");
  }
}
