import type { Tensor } from "../tensor/tensor.ts";
import type { BetaDefaults } from "./noise_schedule.ts";
import type { Options } from "./options.ts";
import { cleanTerms, levelOfSigma, readPrediction, type Level, type Prediction } from "./prediction.ts";
import type { NoiseSource } from "./scheduler.ts";
import { planExploding, SigmaScheduler, type SigmaOptions, type SigmaPlan } from "./sigma_scheduler.ts";
import { combine, scaled, type Terms } from "./terms.ts";

/**
 * Schedulers of the variance-exploding equation (Karras et al. 2022): the sample is clean + σ ε, and the network sees it
 * divided by √(σ² + 1).
 */
export abstract class ExplodingScheduler extends SigmaScheduler {
  readonly #prediction: Prediction;

  constructor(
    options: Options,
    source: NoiseSource,
    predictions: readonly Prediction[],
    settings: BetaDefaults & { ordered?: boolean; sigmas?: SigmaOptions } = {},
  ) {
    super(options, source, settings);
    this.#prediction = readPrediction(options, predictions);
  }

  protected planSigmas(steps: number): SigmaPlan {
    return planExploding(this.training, this.sigmaOptions, steps);
  }

  override get initNoiseSigma(): number {
    const sigma = this.largestSigma;
    return this.sigmaOptions.spacing === "leading" ? Math.sqrt(sigma * sigma + 1) : sigma;
  }

  override scaleModelInput(sample: Tensor, index: number): Tensor {
    super.scaleModelInput(sample, index);
    return combine(this.name, [[levelOfSigma(this.sigma(index)).signal, sample]]);
  }

  protected override levelAt(timestep: number): Level {
    return { signal: 1, noise: this.sigmaOf(timestep) };
  }

  /** The predicted clean sample. */
  protected clean(sigma: number, sample: Tensor, output: Tensor): Terms {
    const level = levelOfSigma(sigma);
    return cleanTerms(this.#prediction, level, sample, output).map(([c, tensor]) =>
      tensor === sample ? [c * level.signal, tensor] : [c, tensor],
    );
  }

  /** dx/dσ = (x - clean) / σ. */
  protected slope(sigma: number, sample: Tensor, clean: Terms): Terms {
    return scaled(1 / sigma, [[1, sample], ...scaled(-1, clean)]);
  }
}
