import type { Device } from "../gpu/device.ts";
import type { Module } from "../nn/module.ts";

/** Which networks' weights are on the device: all of them, or those of one phase at a time. */
export class Residency {
  readonly offloads: boolean;
  readonly #device: Device;
  readonly #fill = new Map<Module, () => Promise<unknown>>();
  readonly #filled = new Set<Module>();

  constructor(device: Device, offloads: boolean) {
    this.#device = device;
    this.offloads = offloads;
  }

  /** A network and how it gets its weights: now, unless networks are loaded when they are needed. */
  async add(network: Module, fill: () => Promise<unknown>): Promise<void> {
    this.#fill.set(network, fill);
    if (!this.offloads) await this.#load(network);
  }

  /**
   * Sees to it that these networks have their weights, those of them that were added: others are their owner's affair.
   * Other networks are freed first, unless all stay.
   */
  async only(...needed: readonly Module[]): Promise<void> {
    const others = this.offloads ? [...this.#filled].filter((network) => !needed.includes(network)) : [];
    for (const network of others) {
      network.dispose();
      this.#filled.delete(network);
    }
    if (others.length > 0) {
      await this.#device.flush();
      this.#device.trim(); // memory of other sizes is of no use to the next ones
    }
    for (const network of needed) if (this.#fill.has(network) && !this.#filled.has(network)) await this.#load(network);
  }

  /** Frees every network. */
  dispose(): void {
    for (const network of this.#fill.keys()) network.dispose();
    this.#filled.clear();
  }

  async #load(network: Module): Promise<void> {
    try {
      await this.#fill.get(network)!();
    } catch (error) {
      network.dispose();
      throw error;
    }
    this.#filled.add(network);
  }
}
