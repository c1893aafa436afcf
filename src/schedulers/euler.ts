import type { Tensor } from "../tensor/tensor.ts";
import { ExplodingScheduler } from "./exploding.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import type { NoiseSource } from "./scheduler.ts";
import { combine, scaled } from "./terms.ts";

/** Euler's method (Karras et al. 2022, algorithm 1, first order, without churn): x' = x + (σ' - σ) dx/dσ. */
export class EulerDiscreteScheduler extends ExplodingScheduler {
  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("EulerDiscreteScheduler", config);
    super(options, source, ["epsilon", "v_prediction", "sample"]);
    options.refuse({ interpolation_type: "linear", timestep_type: "discrete" });
  }

  protected advance(output: Tensor, index: number, sample: Tensor): Tensor {
    const sigma = this.sigma(index);
    const slope = this.slope(sigma, sample, this.clean(sigma, sample, output));
    return combine(this.name, [[1, sample], ...scaled(this.sigma(index + 1) - sigma, slope)]);
  }
}
