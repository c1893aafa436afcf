import type { Tensor } from "../tensor/tensor.ts";
import { InputError } from "../util/errors.ts";
import { ExplodingScheduler } from "./exploding.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import { clipped, readClip } from "./prediction.ts";
import type { NoiseSource } from "./scheduler.ts";
import { planExploding, readSigmaOptions, type SigmaPlan } from "./sigma_scheduler.ts";
import { combine, hold, scaled, type Terms } from "./terms.ts";

/** What the first half of a step leaves for the second. */
interface Half {
  readonly sample: Tensor;
  readonly slope: Terms;
  readonly held: readonly Tensor[];
}

/**
 * Heun's method (Karras et al. 2022, algorithm 1 without churn): an Euler step, then the same step with the mean slope
 * of its two ends. Steps with an even index are the first half; the run ends with one.
 */
export class HeunDiscreteScheduler extends ExplodingScheduler {
  readonly #clip: number | undefined;
  #half: Half | undefined;

  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("HeunDiscreteScheduler", config);
    const sigmas = { ...readSigmaOptions(options), smallest: undefined, largest: undefined, final: "zero" } as const;
    const settings = { start: 0.00085, end: 0.012, ordered: true, sigmas };
    super(options, source, ["epsilon", "v_prediction", "sample"], settings);
    this.#clip = readClip(options, false);
  }

  override get order(): number {
    return 2;
  }

  protected override planSigmas(steps: number): SigmaPlan {
    const { timesteps, sigmas } = planExploding(this.training, this.sigmaOptions, steps);
    const twice = (value: number, i: number) => (i === 0 ? [value] : [value, value]);
    return { timesteps: timesteps.flatMap(twice), sigmas: [...sigmas.slice(0, -1).flatMap(twice), sigmas.at(-1)!] };
  }

  protected advance(output: Tensor, index: number, sample: Tensor): Tensor {
    return index % 2 === 0 ? this.#firstHalf(output, index, sample) : this.#secondHalf(output, index, sample);
  }

  #firstHalf(output: Tensor, index: number, sample: Tensor): Tensor {
    const held = [hold(sample), hold(output)] as const;
    const clean = this.#clean(index, ...held);
    for (const [, tensor] of clean) tensor.keep();
    const slope = this.slope(this.sigma(index), held[0], clean);
    this.#half = { sample: held[0], slope, held: [...held, ...clean.map(([, tensor]) => tensor)] };
    return combine(this.name, [[1, held[0]], ...scaled(this.sigma(index + 1) - this.sigma(index), slope)]);
  }

  #secondHalf(output: Tensor, index: number, sample: Tensor): Tensor {
    const half = this.#half;
    if (!half) throw new InputError(this.name, `a run starts with a step of even index, not ${index}`);
    const mean = [...half.slope, ...this.slope(this.sigma(index), sample, this.#clean(index, sample, output))];
    const width = this.sigma(index) - this.sigma(index - 1);
    const moved = combine(this.name, [[1, half.sample], ...scaled(width / 2, mean)]);
    this.#forget();
    return moved;
  }

  #clean(index: number, sample: Tensor, output: Tensor): Terms {
    return clipped(this.name, this.clean(this.sigma(index), sample, output), this.#clip);
  }

  override dispose(): void {
    super.dispose();
    this.#forget();
  }

  #forget(): void {
    for (const tensor of this.#half?.held ?? []) tensor.dispose();
    this.#half = undefined;
  }
}
