import type { Phase } from "./inputs.ts";

/** Who wants to hear of a run's phases, and may stop it between them. */
export interface Listener {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((phase: Phase, done: number, total: number) => void) | undefined;
}

/** Runs phases one after the other, timed and reported, none of them after an abort. */
export class Phases {
  /** Milliseconds of each phase. */
  readonly timings: Record<string, number> = {};
  readonly #listener: Listener;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  async run<T>(name: Phase, work: () => Promise<T>): Promise<T> {
    this.#listener.signal?.throwIfAborted();
    this.#listener.onProgress?.(name, 0, 1);
    const start = performance.now();
    const result = await work();
    this.timings[name] = performance.now() - start;
    return result;
  }
}
