import type { Tensor } from "../tensor/tensor.ts";
import { InputError } from "../util/errors.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import { cleanTerms, levelOfSigma, readPrediction, type Prediction } from "./prediction.ts";
import type { NoiseSource, StepOptions } from "./scheduler.ts";
import { planMultistep, readSigmaOptions, SigmaScheduler, type SigmaPlan } from "./sigma_scheduler.ts";
import { combine, History } from "./terms.ts";

/** Fewer steps than this end with lower orders where `lower_order_final` is set. */
const FEW_STEPS = 15;

/** DPM-Solver++ (Lu et al. 2022b), multistep, orders 1 to 3, and its stochastic form SDE-DPM-Solver++ (orders 1 and 2). */
export class DPMSolverMultistepScheduler extends SigmaScheduler {
  readonly #prediction: Prediction;
  readonly #stochastic: boolean;
  readonly #order: number;
  readonly #midpoint: boolean;
  readonly #lowerOrderFinal: boolean;
  readonly #eulerAtFinal: boolean;
  /** diffusers rounds Karras timesteps, but cuts them off for the cosine schedule. */
  readonly #truncate: boolean;
  /** Predicted clean samples. */
  readonly #outputs: History;

  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("DPMSolverMultistepScheduler", config);
    const sigmas = { ...readSigmaOptions(options), smallest: undefined, largest: undefined };
    super(options, source, { ordered: true, sigmas });
    options.refuse({ thresholding: false, variance_type: null });
    const clipped = config["lambda_min_clipped"] ?? -Infinity; // Python writes -Infinity, which some parsers make a string
    if (Number(clipped) !== -Infinity) throw options.error("lambda_min_clipped", "which is not implemented");
    this.#prediction = readPrediction(options, ["epsilon", "v_prediction", "sample"]);
    this.#stochastic =
      options.choice("algorithm_type", ["dpmsolver++", "sde-dpmsolver++"], "dpmsolver++") === "sde-dpmsolver++";
    this.#order = options.integer("solver_order", 2, 1, this.#stochastic ? 2 : 3);
    // Names that other solvers' configs hold stand for midpoint, as in diffusers.
    this.#midpoint = options.choice("solver_type", ["midpoint", "heun", "logrho", "bh1", "bh2"], "midpoint") !== "heun";
    this.#lowerOrderFinal = options.boolean("lower_order_final", true);
    this.#eulerAtFinal = options.boolean("euler_at_final", false);
    this.#truncate = config["beta_schedule"] === "squaredcos_cap_v2";
    this.#outputs = new History(this.#order);
  }

  protected planSigmas(steps: number): SigmaPlan {
    return this.distinct(planMultistep(this.training, this.sigmaOptions, steps, { truncate: this.#truncate }));
  }

  protected advance(output: Tensor, index: number, sample: Tensor, options: StepOptions): Tensor {
    const order = this.#orderAt(index);
    const past = Array.from({ length: order - 1 }, (_, i) => this.sigma(index - 1 - i));
    const weights = dpmUpdate(this.sigma(index + 1), this.sigma(index), past, this.#stochastic, this.#midpoint);
    const noise = weights.noise > 0 ? this.noiseFor(sample, options) : undefined;
    const level = levelOfSigma(this.sigma(index));
    this.#outputs.push(combine(this.name, cleanTerms(this.#prediction, level, sample, output)).keep());
    const terms = weights.outputs.map((weight, age) => [weight, this.#outputs.at(age)] as const);
    return combine(this.name, [
      [weights.sample, sample],
      ...terms,
      ...(noise ? [[weights.noise, noise] as const] : []),
    ]);
  }

  #orderAt(index: number): number {
    const left = this.timesteps.length - index;
    const few = this.#lowerOrderFinal && this.timesteps.length < FEW_STEPS;
    if (left === 1 && (few || this.#eulerAtFinal || this.sigmaOptions.final === "zero")) return 1;
    return Math.min(this.#order, this.stepsBefore(index) + 1, left === 2 && few ? 2 : 3);
  }

  override dispose(): void {
    super.dispose();
    this.#outputs.clear();
  }
}

/** x' = sample · x + Σ outputs · m + noise · z, outputs newest first. */
export interface DpmWeights {
  readonly sample: number;
  readonly outputs: readonly number[];
  readonly noise: number;
}

/**
 * Weights of one update from σ = `from` to `to`, given the σ of older outputs: Lu et al. 2022b, eqs. 9, 12 and appendix
 * B with h = λ' - λ; the stochastic form is the same with 2h in the exponent.
 */
export function dpmUpdate(
  to: number,
  from: number,
  past: readonly number[],
  stochastic: boolean,
  midpoint: boolean,
): DpmWeights {
  if (stochastic && past.length > 1) throw new InputError("dpmUpdate", "the stochastic form has orders 1 and 2 only");
  const [end, start] = [levelOfSigma(to), levelOfSigma(from)];
  const h = Math.log(from) - Math.log(to);
  const exponent = stochastic ? 2 * h : h;
  const decay = -Math.expm1(-exponent); // 1 - e^-h
  const first = end.signal * decay;
  const second = midpoint && past.length === 1 ? first / 2 : end.signal * (1 - decay / exponent);
  const outputs = outputWeights(first, second, end.signal * ((decay - exponent) / exponent ** 2 + 0.5), h, [
    from,
    ...past,
  ]);
  const sample = (end.noise / start.noise) * (stochastic ? Math.exp(-h) : 1);
  return { sample, outputs, noise: stochastic ? end.noise * Math.sqrt(decay) : 0 };
}

/** Turns weights of the newest output and of its first and second divided differences into weights of the outputs. */
function outputWeights(first: number, second: number, third: number, h: number, sigmas: readonly number[]): number[] {
  const [r0 = 0, r1 = 0] = sigmas.slice(1).map((sigma, i) => (Math.log(sigma) - Math.log(sigmas[i]!)) / h);
  if (sigmas.length === 1) return [first];
  if (sigmas.length === 2) return [first + second / r0, -second / r0];
  const bend = (second * r0 + third) / (r0 + r1);
  const [newer, older] = [(second + bend) / r0, bend / r1];
  return [first + newer, -newer - older, older];
}
