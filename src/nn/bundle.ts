import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Tensors that live and die together, computed once and used many times. Like a tensor, a bundle belongs to the scope
 * it was made in until `keep()` is called, and its tensors belong to the bundle.
 */
export abstract class Bundle {
  readonly #device: Device;
  readonly #tensors: readonly Tensor[];

  constructor(device: Device, tensors: readonly Tensor[]) {
    this.#device = device;
    this.#tensors = tensors;
    for (const tensor of tensors) tensor.keep();
    device.adopt(this);
  }

  /** Takes it out of every scope: it lives until `dispose()`. */
  keep(): this {
    this.#device.orphan(this);
    return this;
  }

  /** Frees its tensors. Harmless when repeated. */
  dispose(): void {
    this.#device.orphan(this);
    for (const tensor of this.#tensors) tensor.dispose();
  }
}
