import type { Device } from "../gpu/device.ts";
import { lerp } from "../kernels/lerp.ts";
import { weightedSum } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** diffusers' `EMAModel` options, which its config.json names in snake_case. */
export interface EMAOptions {
  readonly decay?: number;
  readonly minDecay?: number;
  readonly updateAfterStep?: number;
  readonly useEmaWarmup?: boolean;
  readonly invGamma?: number;
  readonly power?: number;
}

/** An exponential moving average of f32 parameters, by the rules of diffusers' `EMAModel`. */
export class EMAModel {
  readonly options: Required<EMAOptions>;
  readonly #shadow: Map<string, Tensor>;
  readonly #device: Device;
  readonly #parameters: ReadonlyMap<string, Tensor>;
  optimizationStep = 0;

  /** @param parameters by name; a tensor may be replaced in the map between steps */
  constructor(device: Device, parameters: ReadonlyMap<string, Tensor>, options: EMAOptions = {}) {
    const { decay = 0.9999, minDecay = 0, updateAfterStep = 0, useEmaWarmup = false } = options;
    const { invGamma = 1, power = 2 / 3 } = options;
    this.options = { decay, minDecay, updateAfterStep, useEmaWarmup, invGamma, power };
    this.#device = device;
    this.#parameters = parameters;
    this.#shadow = new Map([...parameters].map(([name, tensor]) => [name, weightedSum([[1, tensor]]).keep()]));
  }

  /** The averages by name. */
  get shadow(): ReadonlyMap<string, Tensor> {
    return this.#shadow;
  }

  /** The decay at an optimiser step: it grows towards `decay`. */
  decayAt(optimizationStep: number): number {
    const { decay, minDecay, updateAfterStep, useEmaWarmup, invGamma, power } = this.options;
    const step = Math.max(0, optimizationStep - updateAfterStep - 1);
    if (step <= 0) return 0;
    const grown = useEmaWarmup ? 1 - (1 + step / invGamma) ** -power : (1 + step) / (10 + step);
    return Math.max(Math.min(grown, decay), minDecay);
  }

  /** What diffusers' `EMAModel.from_pretrained` looks for in the averages' config.json. */
  get config(): Readonly<Record<string, unknown>> {
    const { decay, minDecay, updateAfterStep, useEmaWarmup, invGamma, power } = this.options;
    return {
      ...{ decay, min_decay: minDecay, optimization_step: this.optimizationStep, update_after_step: updateAfterStep },
      ...{ use_ema_warmup: useEmaWarmup, inv_gamma: invGamma, power },
    };
  }

  /** Moves the averages towards the parameters as they are now. */
  step(): void {
    this.optimizationStep++;
    const weight = 1 - this.decayAt(this.optimizationStep);
    for (const [name, shadow] of this.#shadow)
      lerp(this.#device, this.#parameters.get(name)!.view, shadow.view, shadow.size, weight);
  }

  /** Takes over an average of an earlier run. */
  restore(name: string, average: Tensor): void {
    this.#shadow.get(name)?.dispose();
    this.#shadow.set(name, average.keep());
  }

  dispose(): void {
    for (const tensor of this.shadow.values()) tensor.dispose();
  }
}
