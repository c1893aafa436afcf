import type { Device } from "../gpu/device.ts";
import { adamw } from "../kernels/adamw.ts";
import { Tensor } from "../tensor/tensor.ts";
import { DTypeError, ShapeError } from "../util/errors.ts";
import { sameShape, show } from "../util/shape.ts";

/** torch.optim.AdamW's, with its defaults. */
export interface AdamWOptions {
  /** How much of the mean and of the squares each step keeps. Default 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the squares. Default 1e-8. */
  readonly eps?: number;
  /** Share of a parameter, times lr, that each step takes off. Default 0.01. */
  readonly weightDecay?: number;
}

/** What AdamW keeps of one parameter, f32. */
export interface AdamWSlot {
  readonly mean: Tensor;
  readonly square: Tensor;
  /** Steps that this parameter took: one without a gradient takes none. */
  step: number;
}

/**
 * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), with torch.optim.AdamW's arithmetic and defaults. Parameters
 * are f32 and updated in place.
 */
export class AdamW {
  readonly #device: Device;
  readonly #parameters: ReadonlyMap<string, Tensor>;
  readonly #slots = new Map<string, AdamWSlot>();
  readonly #factors: { beta1: number; beta2: number; eps: number; weightDecay: number };

  /** @param parameters by name; a tensor may be replaced in the map between steps */
  constructor(device: Device, parameters: ReadonlyMap<string, Tensor>, options: AdamWOptions = {}) {
    const { betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
    this.#device = device;
    this.#parameters = parameters;
    this.#factors = { beta1: betas[0], beta2: betas[1], eps, weightDecay };
  }

  /**
   * One step on every parameter that has a gradient; the others do not move.
   * @param gradients by the parameters' names, f32
   * @param gradientScale what gradients are multiplied by first: 1 / loss scale, and clipping
   * @throws ShapeError, DTypeError for a gradient that is not its parameter's
   */
  step(
    gradients: ReadonlyMap<string, Tensor>,
    { lr, gradientScale = 1 }: { lr: number; gradientScale?: number },
  ): void {
    for (const [name, gradient] of gradients) {
      const parameter = this.#parameters.get(name);
      if (!parameter) throw new ShapeError("AdamW", `no parameter is called ${name}`);
      if (!sameShape(gradient.shape, parameter.shape))
        throw new ShapeError(
          "AdamW",
          `the gradient of ${name} is ${show(gradient.shape)}, the parameter ${show(parameter.shape)}`,
        );
      for (const tensor of [gradient, parameter])
        if (tensor.dtype !== "f32") throw new DTypeError("AdamW", `${name} is ${tensor.dtype}, f32 is needed`);
      const slot = this.#slot(name, parameter);
      slot.step++;
      const views = {
        gradient: gradient.view,
        parameter: parameter.view,
        mean: slot.mean.view,
        square: slot.square.view,
      };
      adamw(this.#device, views, parameter.size, { ...this.#factors, lr, gradientScale, step: slot.step });
    }
  }

  #slot(name: string, { shape }: Tensor): AdamWSlot {
    let slot = this.#slots.get(name);
    if (!slot) {
      const zeros = () => Tensor.zeros(this.#device, shape).keep();
      slot = { mean: zeros(), square: zeros(), step: 0 };
      this.#slots.set(name, slot);
    }
    return slot;
  }

  /** Takes over what an earlier run kept of a parameter. */
  restore(name: string, { mean, square, step }: AdamWSlot): void {
    const old = this.#slots.get(name);
    for (const tensor of old ? [old.mean, old.square] : []) tensor.dispose();
    this.#slots.set(name, { mean: mean.keep(), square: square.keep(), step });
  }

  /** What is kept of each parameter that has moved. */
  get slots(): ReadonlyMap<string, AdamWSlot> {
    return this.#slots;
  }

  /** Frees what it keeps; the parameters are the caller's. */
  dispose(): void {
    for (const { mean, square } of this.#slots.values()) for (const tensor of [mean, square]) tensor.dispose();
    this.#slots.clear();
  }
}
