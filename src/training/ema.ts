import type { Device } from "../gpu/device.ts";
import { lerp } from "../kernels/lerp.ts";
import type { Parameter } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { copyOf, stored } from "./parameters.ts";

/** diffusers' `EMAModel` options, which its config.json names in snake_case. */
export interface EMAOptions {
  readonly decay?: number;
  readonly minDecay?: number;
  readonly updateAfterStep?: number;
  readonly useEmaWarmup?: boolean;
  readonly invGamma?: number;
  readonly power?: number;
}

/** An exponential moving average of parameters, by the rules of diffusers' `EMAModel`. */
export class EMAModel {
  readonly options: Required<EMAOptions>;
  readonly #shadow: Map<string, Tensor>;
  readonly #device: Device;
  optimizationStep = 0;

  constructor(device: Device, parameters: ReadonlyMap<string, Parameter>, options: EMAOptions = {}) {
    const { decay = 0.9999, minDecay = 0, updateAfterStep = 0, useEmaWarmup = false } = options;
    const { invGamma = 1, power = 2 / 3 } = options;
    this.options = { decay, minDecay, updateAfterStep, useEmaWarmup, invGamma, power };
    this.#device = device;
    this.#shadow = new Map([...parameters].map(([name, parameter]) => [name, copyOf(parameter)]));
  }

  /** The averages, f32, laid out as the parameters are. */
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

  /**
   * Moves the averages towards the current numbers.
   * @param current a parameter's float32 numbers by its name; undefined for one that has never moved
   */
  step(current: (name: string) => Tensor | undefined): void {
    this.optimizationStep++;
    const weight = 1 - this.decayAt(this.optimizationStep);
    for (const [name, shadow] of this.#shadow) {
      const tensor = current(name);
      if (tensor) lerp(this.#device, tensor.view, shadow.view, stored(shadow), weight);
    }
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
