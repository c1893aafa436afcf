import type { Tensor } from "../tensor/tensor.ts";
import { InputError } from "../util/errors.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import { cleanTerms, levelOfSigma, noiseTerms, readPrediction, type Prediction } from "./prediction.ts";
import type { NoiseSource } from "./scheduler.ts";
import { planMultistep, SigmaScheduler, type SigmaPlan } from "./sigma_scheduler.ts";
import { combine, History, hold, type Terms } from "./terms.ts";
import { unifiedUpdate, type UpdateKind } from "./unipc_update.ts";

/**
 * Unified predictor-corrector (Zhao et al. 2023). Each step first corrects the last step with the output at its end
 * (UniC), which costs no further pass through the network, then predicts the next sample (UniP).
 */
export class UniPCMultistepScheduler extends SigmaScheduler {
  readonly #prediction: Prediction;
  readonly #order: number;
  readonly #lowerOrderFinal: boolean;
  readonly #uncorrected: readonly number[];
  readonly #kind: UpdateKind;
  /** Converted model outputs: the clean sample, or the noise where `predict_x0` is false. */
  readonly #outputs: History;
  #lastSample: Tensor | undefined;

  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("UniPCMultistepScheduler", config);
    super(options, source, { ordered: true });
    options.refuse({ thresholding: false, solver_p: null, shift_terminal: null });
    this.#prediction = readPrediction(options, ["epsilon", "v_prediction", "sample"]);
    this.#order = options.integer("solver_order", 2, 1, 3);
    this.#lowerOrderFinal = options.boolean("lower_order_final", true);
    this.#uncorrected = options.numbers("disable_corrector") ?? [];
    // Names that other solvers' configs hold stand for bh2, as in diffusers.
    const solver = options.choice("solver_type", ["bh1", "bh2", "midpoint", "heun", "logrho"], "bh2");
    this.#kind = { bh1: solver === "bh1", clean: options.boolean("predict_x0", true) };
    this.#outputs = new History(this.#order);
    const toZero = this.sigmaOptions.final === "zero";
    if (toZero && !(this.#kind.clean && (this.#lowerOrderFinal || this.#order === 1)))
      throw new InputError(this.name, "predict_x0 or lower_order_final false need final_sigmas_type sigma_min");
  }

  protected planSigmas(steps: number): SigmaPlan {
    return this.distinct(planMultistep(this.training, this.sigmaOptions, steps, { karrasEnd: true }));
  }

  protected advance(output: Tensor, index: number, sample: Tensor): Tensor {
    const converted = combine(this.name, this.#convert(index, sample, output)).keep();
    const start =
      this.#lastSample && !this.#uncorrected.includes(index - 1) ? this.#correct(index, converted) : hold(sample);
    this.#outputs.push(converted);
    this.#lastSample?.dispose();
    this.#lastSample = start;
    return this.#update(index + 1, this.#orderAt(index), start);
  }

  #convert(index: number, sample: Tensor, output: Tensor): Terms {
    const terms = this.#kind.clean ? cleanTerms : noiseTerms;
    return terms(this.#prediction, levelOfSigma(this.sigma(index)), sample, output);
  }

  #correct(index: number, newest: Tensor): Tensor {
    return this.#update(index, this.#orderAt(index - 1), this.#lastSample!, newest).keep();
  }

  /** Order of the step at `index`: as many outputs as there are, fewer towards the end. */
  #orderAt(index: number): number {
    const left = this.#lowerOrderFinal ? this.timesteps.length - index : Infinity;
    return Math.min(this.#order, left, this.stepsBefore(index) + 1);
  }

  /** Moves `sample` from step `end` - 1 to `end`; with the output at `end` itself, this is the corrector. */
  #update(end: number, order: number, sample: Tensor, newest?: Tensor): Tensor {
    const from = end - 1;
    const past = Array.from({ length: order - 1 }, (_, i) => this.sigma(from - 1 - i));
    const weights = unifiedUpdate(this.#kind, this.sigma(end), this.sigma(from), past, newest !== undefined);
    const terms: (readonly [number, Tensor])[] = [[weights.sample, sample]];
    weights.outputs.forEach((weight, age) => terms.push([weight, this.#outputs.at(age)]));
    if (newest) terms.push([weights.newest, newest]);
    return combine(this.name, terms);
  }

  override dispose(): void {
    super.dispose();
    this.#outputs.clear();
    this.#lastSample?.dispose();
    this.#lastSample = undefined;
  }
}
