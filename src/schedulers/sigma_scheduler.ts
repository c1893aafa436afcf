import { InputError } from "../util/errors.ts";
import {
  interpolate,
  karrasSigmas,
  readSpacing,
  roundHalfEven,
  spacedTimesteps,
  timestepOfSigma,
  type BetaDefaults,
  type SpacingOptions,
  type Training,
} from "./noise_schedule.ts";
import type { Options } from "./options.ts";
import { levelOfSigma, type Level } from "./prediction.ts";
import { BaseScheduler, type NoiseSource } from "./scheduler.ts";

export type FinalSigma = "zero" | "sigma_min";

/** Options of every schedule of noise ratios σ. */
export interface SigmaOptions extends SpacingOptions {
  readonly karras: boolean;
  readonly smallest: number | undefined;
  readonly largest: number | undefined;
  readonly final: FinalSigma;
}

export function readSigmaOptions(options: Options): SigmaOptions {
  options.refuse({
    use_exponential_sigmas: false,
    use_beta_sigmas: false,
    use_flow_sigmas: false,
    use_lu_lambdas: false,
  });
  options.refuse({ use_dynamic_shifting: false, invert_sigmas: false });
  return {
    ...readSpacing(options, "linspace"),
    karras: options.boolean("use_karras_sigmas", false),
    smallest: options.number("sigma_min", undefined),
    largest: options.number("sigma_max", undefined),
    final: options.choice("final_sigmas_type", ["zero", "sigma_min"], "zero"),
  };
}

/** A run's timesteps, and one σ for each plus the one it ends at, in float32. */
export interface SigmaPlan {
  readonly timesteps: readonly number[];
  readonly sigmas: readonly number[];
}

/** For solvers of the variance-preserving equation: whole timesteps, the run's end counted as a point. */
export function planMultistep(
  training: Training,
  options: SigmaOptions,
  steps: number,
  { truncate = false, karrasEnd = false }: { truncate?: boolean; karrasEnd?: boolean } = {},
): SigmaPlan {
  let timesteps = spacedTimesteps(options, training.count, steps, { extra: 1 });
  let sigmas = timesteps.map((timestep) => interpolate(training.sigmas, timestep));
  let end = training.sigmas[0]!;
  if (options.karras) {
    const logs = training.sigmas.map(Math.log);
    sigmas = karrasSigmas(options.smallest ?? end, options.largest ?? training.sigmas.at(-1)!, steps);
    timesteps = sigmas.map((sigma) => (truncate ? Math.trunc : roundHalfEven)(timestepOfSigma(sigma, logs)));
    if (karrasEnd) end = sigmas.at(-1)!;
  }
  return { timesteps, sigmas: [...sigmas, options.final === "zero" ? 0 : end].map(Math.fround) };
}

/** For solvers of the variance-exploding equation: fractional timesteps from the first to the last training one. */
export function planExploding(training: Training, options: SigmaOptions, steps: number): SigmaPlan {
  let timesteps = spacedTimesteps(options, training.count, steps, { whole: false });
  let sigmas = timesteps.map((timestep) => interpolate(training.sigmas, timestep));
  if (options.karras) {
    const logs = training.sigmas.map(Math.log);
    sigmas = karrasSigmas(options.smallest ?? sigmas.at(-1)!, options.largest ?? sigmas[0]!, steps);
    timesteps = sigmas.map((sigma) => Math.fround(timestepOfSigma(sigma, logs)));
  }
  return { timesteps, sigmas: [...sigmas, options.final === "zero" ? 0 : training.sigmas[0]!].map(Math.fround) };
}

/** Schedulers that know noise levels by the ratio σ of noise to signal. */
export abstract class SigmaScheduler extends BaseScheduler {
  protected readonly sigmaOptions: SigmaOptions;
  /** One for each timestep and a last one that the run ends at. */
  #sigmas: readonly number[] = [];

  constructor(
    options: Options,
    source: NoiseSource,
    settings: BetaDefaults & { ordered?: boolean; sigmas?: SigmaOptions } = {},
  ) {
    super(options, source, settings);
    this.sigmaOptions = settings.sigmas ?? readSigmaOptions(options);
  }

  protected abstract planSigmas(steps: number): SigmaPlan;

  protected plan(steps: number): readonly number[] {
    const { timesteps, sigmas } = this.planSigmas(steps);
    this.#sigmas = sigmas;
    return timesteps;
  }

  protected sigma(index: number): number {
    return this.#sigmas[index]!;
  }

  /** The largest σ of the run, or of training before `setTimesteps`. */
  protected get largestSigma(): number {
    return this.#sigmas.length > 0 ? Math.max(...this.#sigmas) : this.training.sigmas.at(-1)!;
  }

  /** σ at a timestep of this run (the second one where two steps share it, like diffusers) or of training. */
  protected sigmaOf(timestep: number): number {
    const first = this.timesteps.indexOf(timestep);
    if (first >= 0) {
      const second = this.timesteps.indexOf(timestep, first + 1);
      return this.sigma(second >= 0 ? second : first);
    }
    const last = this.training.count - 1;
    if (!(timestep >= 0 && timestep <= last))
      throw new InputError(this.name, `timestep ${timestep} is not within 0 … ${last}`);
    return interpolate(this.training.sigmas, timestep);
  }

  protected levelAt(timestep: number): Level {
    return levelOfSigma(this.sigmaOf(timestep));
  }

  /** Throws where two steps share a noise level: a multistep solver divides by the difference. */
  protected distinct(plan: SigmaPlan): SigmaPlan {
    const { length } = plan.timesteps;
    for (let i = 1; i < length; i++)
      if (!(plan.sigmas[i]! < plan.sigmas[i - 1]!))
        throw new InputError(this.name, `${length} steps are too many: steps ${i - 1} and ${i} share a noise level`);
    return plan;
  }
}
