import type { Tensor } from "../tensor/tensor.ts";
import { ExplodingScheduler } from "./exploding.ts";
import { readSpacing } from "./noise_schedule.ts";
import { Options, type SchedulerConfig } from "./options.ts";
import type { NoiseSource, StepOptions } from "./scheduler.ts";
import { combine, scaled, type Terms } from "./terms.ts";

/** Ancestral sampling with Euler's method: a step to σ_down, then noise up to σ', where σ_up² = σ'² (σ² - σ'²) / σ². */
export class EulerAncestralDiscreteScheduler extends ExplodingScheduler {
  constructor(config: SchedulerConfig, source: NoiseSource = {}) {
    const options = new Options("EulerAncestralDiscreteScheduler", config);
    const spacing = readSpacing(options, "linspace");
    const sigmas = { ...spacing, karras: false, smallest: undefined, largest: undefined, final: "zero" } as const;
    super(options, source, ["epsilon", "v_prediction"], { sigmas });
  }

  protected advance(output: Tensor, index: number, sample: Tensor, options: StepOptions): Tensor {
    const [sigma, next] = [this.sigma(index), this.sigma(index + 1)];
    const up = Math.sqrt((next ** 2 * (sigma ** 2 - next ** 2)) / sigma ** 2);
    const down = Math.sqrt(next ** 2 - up ** 2);
    const slope = this.slope(sigma, sample, this.clean(sigma, sample, output));
    const mean: Terms = [[1, sample], ...scaled(down - sigma, slope)];
    if (up === 0) return combine(this.name, mean);
    return combine(this.name, [...mean, [up, this.noiseFor(sample, options)]]);
  }
}
