import type { Device } from "../gpu/device.ts";
import { adamw } from "../kernels/adamw.ts";
import type { Parameter } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../util/errors.ts";
import { sameShape, show } from "../util/shape.ts";
import { copyOf, stored, zerosLike } from "./parameters.ts";

export interface AdamWOptions {
  readonly betas?: readonly [number, number];
  readonly eps?: number;
  readonly weightDecay?: number;
}

/** What AdamW keeps of one parameter. All f32, laid out as the parameter is. */
export interface AdamWSlot {
  /** The parameter itself, or its float32 master where the network computes in float16. */
  readonly master: Tensor;
  readonly mean: Tensor;
  readonly square: Tensor;
  /** Steps that this parameter took: one without a gradient takes none. */
  step: number;
}

/**
 * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), with torch.optim.AdamW's arithmetic and defaults. Parameters
 * are updated in place, in the memory order the kernels like; float16 ones are copies of float32 masters kept here.
 */
export class AdamW {
  readonly #device: Device;
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #slots = new Map<string, AdamWSlot>();
  readonly #factors: { beta1: number; beta2: number; eps: number; weightDecay: number };

  constructor(device: Device, parameters: ReadonlyMap<string, Parameter>, options: AdamWOptions = {}) {
    const { betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
    this.#device = device;
    this.#parameters = parameters;
    this.#factors = { beta1: betas[0], beta2: betas[1], eps, weightDecay };
  }

  /**
   * One step on every parameter that has a gradient; the others do not move.
   * @param gradients by the parameters' names, of their shape and layout
   * @param gradientScale what gradients are multiplied by first: 1 / loss scale, and clipping
   * @throws ShapeError for a gradient that is not its parameter's
   */
  step(
    gradients: ReadonlyMap<string, Tensor>,
    { lr, gradientScale = 1 }: { lr: number; gradientScale?: number },
  ): void {
    for (const [name, gradient] of gradients) {
      const parameter = this.#parameters.get(name);
      if (!parameter) throw new ShapeError("AdamW", `no parameter is called ${name}`);
      const { tensor } = parameter;
      if (!sameShape(gradient.shape, tensor.shape) || gradient.packed !== tensor.packed)
        throw new ShapeError(
          "AdamW",
          `the gradient of ${name} is ${show(gradient.shape)}${gradient.packed ? " packed" : ""}, ` +
            `the parameter ${show(tensor.shape)}${tensor.packed ? " packed" : ""}`,
        );
      const slot = this.slot(name);
      slot.step++;
      const views = {
        gradient: gradient.view,
        parameter: slot.master.view,
        mean: slot.mean.view,
        square: slot.square.view,
        weight: slot.master === tensor ? undefined : tensor.view,
      };
      const elem = gradient.dtype === "f16" ? "f16" : "f32";
      adamw(this.#device, views, stored(tensor), elem, { ...this.#factors, lr, gradientScale, step: slot.step });
    }
  }

  /** What is kept of a parameter, made when first asked for. */
  slot(name: string): AdamWSlot {
    let slot = this.#slots.get(name);
    if (!slot) {
      const parameter = this.#parameters.get(name)!;
      const master = parameter.tensor.dtype === "f32" ? parameter.tensor : copyOf(parameter);
      slot = { master, mean: zerosLike(parameter), square: zerosLike(parameter), step: 0 };
      this.#slots.set(name, slot);
    }
    return slot;
  }

  /** Takes over what an earlier run kept of a parameter; `master` only where the network computes in float16. */
  restore(name: string, { master, mean, square, step }: Omit<AdamWSlot, "master"> & { master?: Tensor }): void {
    const { tensor } = this.#parameters.get(name)!;
    this.#slots.set(name, { master: master?.keep() ?? tensor, mean: mean.keep(), square: square.keep(), step });
  }

  /** The slots of parameters that have moved. */
  get slots(): ReadonlyMap<string, AdamWSlot> {
    return this.#slots;
  }

  dispose(): void {
    for (const [name, { master, mean, square }] of this.#slots) {
      if (master !== this.#parameters.get(name)!.tensor) master.dispose();
      mean.dispose();
      square.dispose();
    }
    this.#slots.clear();
  }
}
