import type { Device } from "../gpu/device.ts";
import type { Disposable } from "../gpu/scopes.ts";

/**
 * Owns tensors across `await`s, where a device's scopes cannot: a scope belongs to one synchronous stretch of work.
 * What `run` returns is kept until the bag is disposed of.
 */
export class Bag {
  readonly #device: Device;
  readonly #held = new Set<Disposable>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Runs synchronous work in a scope and owns what it returns. */
  run<T>(work: () => T): T {
    const result = this.#device.scope(work);
    for (const item of found(result)) this.#held.add(item);
    return result;
  }

  /** Owns one more. */
  hold<T extends Disposable>(item: T): T {
    this.#held.add(item);
    return item;
  }

  /** Frees one now. */
  drop(item: Disposable | undefined): void {
    if (item && this.#held.delete(item)) item.dispose();
  }

  /** Gives one away: somebody else frees it. */
  release<T extends Disposable>(item: T): T {
    this.#held.delete(item);
    return item;
  }

  /** Frees all of it, once: where one fails, what is left goes too, and then the first failure is thrown. */
  dispose(): void {
    const failures: unknown[] = [];
    for (const item of this.#held)
      try {
        item.dispose();
      } catch (error) {
        failures.push(error);
      }
    this.#held.clear();
    if (failures.length > 0) throw failures[0];
  }
}

function* found(value: unknown): Generator<Disposable> {
  if (typeof value !== "object" || value === null) return;
  if (typeof (value as Partial<Disposable>).dispose === "function") yield value as Disposable;
  else if (Array.isArray(value) || value instanceof Set) for (const item of value) yield* found(item);
  else if (value instanceof Map) for (const item of value.values()) yield* found(item);
  else if (!ArrayBuffer.isView(value)) for (const item of Object.values(value)) yield* found(item);
}
