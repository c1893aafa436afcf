import type { Tensor } from "../tensor/tensor.ts";
import { InputError } from "../util/errors.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import { cleanTerms, clipped, readClip, readPrediction, type Prediction } from "./prediction.ts";
import { AlphaScheduler, type NoiseSource, type StepOptions } from "./scheduler.ts";
import { combine, scaled, type Terms } from "./terms.ts";

const SIGMA_DATA = 0.5;

/** Latent Consistency Models (Luo et al. 2023, algorithm 3): jump to the clean sample, add noise for the next step. */
export class LCMScheduler extends AlphaScheduler {
  readonly #prediction: Prediction;
  readonly #clip: number | undefined;
  readonly #originalSteps: number;
  readonly #timestepScaling: number;

  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("LCMScheduler", config);
    super(options, source, { start: 0.00085, end: 0.012, schedule: "scaled_linear" });
    this.#prediction = readPrediction(options, ["epsilon", "v_prediction", "sample"]);
    this.#clip = readClip(options, false);
    this.#originalSteps = options.integer("original_inference_steps", 50, 1, this.training.count);
    this.#timestepScaling = options.number("timestep_scaling", 10);
  }

  /** Steps evenly through the timesteps that the model was distilled on. */
  protected plan(steps: number): readonly number[] {
    const original = this.#originalSteps;
    if (steps > original) throw new InputError(this.name, `${steps} steps; original_inference_steps is ${original}`);
    const stride = Math.floor(this.training.count / original);
    return Array.from({ length: steps }, (_, i) => (original - Math.floor(i * (original / steps))) * stride - 1);
  }

  protected advance(output: Tensor, index: number, sample: Tensor, options: StepOptions): Tensor {
    const timestep = this.timesteps[index]!;
    const time = timestep * this.#timestepScaling;
    const spread = time ** 2 + SIGMA_DATA ** 2;
    const clean = clipped(this.name, cleanTerms(this.#prediction, this.levelAt(timestep), sample, output), this.#clip);
    const denoised: Terms = [...scaled(time / Math.sqrt(spread), clean), [SIGMA_DATA ** 2 / spread, sample]];
    const next = this.timesteps[index + 1];
    if (next === undefined) return combine(this.name, denoised);
    const level = this.levelAt(next);
    return combine(this.name, [...scaled(level.signal, denoised), [level.noise, this.noiseFor(sample, options)]]);
  }
}
