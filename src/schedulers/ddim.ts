import type { Tensor } from "../tensor/tensor.ts";
import { readSpacing, spacedTimesteps, type SpacingOptions } from "./noise_schedule.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import {
  cleanTerms,
  clipped,
  levelOfAlpha,
  noiseTerms,
  readClip,
  readPrediction,
  type Prediction,
} from "./prediction.ts";
import { AlphaScheduler, type NoiseSource } from "./scheduler.ts";
import { combine, scaled } from "./terms.ts";

/** Denoising Diffusion Implicit Models (Song et al. 2020, eq. 12) with eta = 0: x' = √α' · clean + √(1-α') · ε. */
export class DDIMScheduler extends AlphaScheduler {
  readonly #spacing: SpacingOptions;
  readonly #prediction: Prediction;
  readonly #clip: number | undefined;
  /** Πα at the end of the last step. */
  readonly #finalAlpha: number;
  #stride = 0;

  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("DDIMScheduler", config);
    super(options, source);
    this.#spacing = readSpacing(options, "leading");
    this.#prediction = readPrediction(options, ["epsilon", "v_prediction", "sample"]);
    this.#clip = readClip(options, true);
    this.#finalAlpha = options.boolean("set_alpha_to_one", true) ? 1 : this.training.alphas[0]!;
  }

  protected plan(steps: number): readonly number[] {
    this.#stride = Math.floor(this.training.count / steps);
    return this.checked(spacedTimesteps(this.#spacing, this.training.count, steps));
  }

  protected advance(output: Tensor, index: number, sample: Tensor): Tensor {
    const timestep = this.timesteps[index]!;
    const level = this.levelAt(timestep);
    const next = levelOfAlpha(timestep >= this.#stride ? this.alphaAt(timestep - this.#stride) : this.#finalAlpha);
    const clean = clipped(this.name, cleanTerms(this.#prediction, level, sample, output), this.#clip);
    const noise = noiseTerms(this.#prediction, level, sample, output);
    return combine(this.name, [...scaled(next.signal, clean), ...scaled(next.noise, noise)]);
  }
}
