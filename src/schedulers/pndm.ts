import type { Tensor } from "../tensor/tensor.ts";
import { InputError } from "../util/errors.ts";
import { readSpacing, spacedTimesteps, type SpacingOptions } from "./noise_schedule.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import { noiseTerms, readPrediction, type Prediction } from "./prediction.ts";
import { AlphaScheduler, type NoiseSource } from "./scheduler.ts";
import { combine, History, hold, scaled, type Terms } from "./terms.ts";

/** Adams and Bashforth's weights of the latest outputs, newest first. */
const BASHFORTH = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]] as const;

/**
 * Pseudo linear multistep method (Liu et al. 2022, eqs. 11 and 12), without Runge-Kutta steps at the start: the first
 * step is taken twice instead, the second time with the mean of the outputs at both of its ends.
 */
export class PNDMScheduler extends AlphaScheduler {
  readonly #spacing: SpacingOptions;
  readonly #prediction: Prediction;
  readonly #finalAlpha: number;
  readonly #outputs = new History(4);
  #stride = 0;
  #firstSample: Tensor | undefined;

  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("PNDMScheduler", config);
    super(options, source, { ordered: true });
    if (!options.boolean("skip_prk_steps", false))
      throw new InputError("PNDMScheduler", "skip_prk_steps false (Runge-Kutta steps) is not implemented");
    this.#spacing = readSpacing(options, "leading");
    this.#prediction = readPrediction(options, ["epsilon", "v_prediction"]);
    this.#finalAlpha = options.boolean("set_alpha_to_one", false) ? 1 : this.training.alphas[0]!;
  }

  protected plan(steps: number): readonly number[] {
    this.#stride = Math.floor(this.training.count / steps);
    const [first, second, ...rest] = this.checked(spacedTimesteps(this.#spacing, this.training.count, steps));
    return second === undefined ? [first!] : [first!, second, second, ...rest];
  }

  protected advance(output: Tensor, index: number, sample: Tensor): Tensor {
    const before = this.stepsBefore(index);
    const timestep = this.timesteps[index]!;
    if (before === 1) {
      // The run's first step once more: from its start, with the mean of the outputs at its two ends.
      const mean: Terms = [[0.5, output], [0.5, this.#outputs.at(0)]]; // prettier-ignore
      const moved = this.#move(this.#firstSample!, mean, timestep + this.#stride, timestep);
      this.#forgetSample();
      return moved;
    }
    this.#outputs.push(hold(output));
    if (before === 0) this.#firstSample = hold(sample);
    const weights = BASHFORTH[this.#outputs.length - 1]!;
    const estimate = weights.map((weight, age) => [weight, this.#outputs.at(age)] as const);
    return this.#move(sample, estimate, timestep, timestep - this.#stride);
  }

  /** Eq. 11: x' = √(α'/α) x - (α' - α) ε / (α √(1-α') + √(α (1-α) α')). */
  #move(sample: Tensor, output: Terms, from: number, to: number): Tensor {
    const alpha = this.alphaAt(from);
    const next = to >= 0 ? this.alphaAt(to) : this.#finalAlpha;
    const factor = (next - alpha) / (alpha * Math.sqrt(1 - next) + Math.sqrt(alpha * (1 - alpha) * next));
    const level = this.levelAt(from);
    const noise = output.flatMap(([weight, tensor]) =>
      // The weights add up to one, so that each output may take its share of the sample.
      scaled(weight, noiseTerms(this.#prediction, level, sample, tensor)),
    );
    return combine(this.name, [[Math.sqrt(next / alpha), sample], ...scaled(-factor, noise)]);
  }

  override dispose(): void {
    super.dispose();
    this.#outputs.clear();
    this.#forgetSample();
  }

  #forgetSample(): void {
    this.#firstSample?.dispose();
    this.#firstSample = undefined;
  }
}
