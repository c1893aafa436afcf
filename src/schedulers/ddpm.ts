import type { Tensor } from "../tensor/tensor.ts";
import { readSpacing, spacedTimesteps, type SpacingOptions } from "./noise_schedule.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import { cleanTerms, clipped, readClip, readPrediction, type Prediction } from "./prediction.ts";
import { AlphaScheduler, type NoiseSource, type StepOptions } from "./scheduler.ts";
import { combine, scaled, type Terms } from "./terms.ts";

/** Denoising Diffusion Probabilistic Models (Ho et al. 2020, eqs. 6 and 7): the posterior's mean plus its noise. */
export class DDPMScheduler extends AlphaScheduler {
  readonly #spacing: SpacingOptions;
  readonly #prediction: Prediction;
  readonly #clip: number | undefined;
  readonly #variance: "fixed_small" | "fixed_small_log" | "fixed_large";

  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("DDPMScheduler", config);
    super(options, source);
    this.#spacing = readSpacing(options, "leading");
    this.#prediction = readPrediction(options, ["epsilon", "v_prediction", "sample"]);
    this.#clip = readClip(options, true);
    this.#variance = options.choice("variance_type", ["fixed_small", "fixed_small_log", "fixed_large"], "fixed_small");
  }

  protected plan(steps: number): readonly number[] {
    return this.checked(spacedTimesteps(this.#spacing, this.training.count, steps));
  }

  protected advance(output: Tensor, index: number, sample: Tensor, options: StepOptions): Tensor {
    const timestep = this.timesteps[index]!;
    const next = this.timesteps[index + 1];
    const alpha = this.alphaAt(timestep);
    const nextAlpha = next === undefined ? 1 : this.alphaAt(next);
    const beta = 1 - alpha / nextAlpha; // of the whole stride
    const level = this.levelAt(timestep);
    const clean = clipped(this.name, cleanTerms(this.#prediction, level, sample, output), this.#clip);
    const mean: Terms = [
      ...scaled((Math.sqrt(nextAlpha) * beta) / (1 - alpha), clean),
      [(Math.sqrt(1 - beta) * (1 - nextAlpha)) / (1 - alpha), sample],
    ];
    if (timestep === 0) return combine(this.name, mean);
    const posterior = Math.max(((1 - nextAlpha) / (1 - alpha)) * beta, 1e-20);
    const deviation = Math.sqrt(this.#variance === "fixed_large" ? beta : posterior);
    return combine(this.name, [...mean, [deviation, this.noiseFor(sample, options)]]);
  }
}
