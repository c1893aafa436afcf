/** Ctrl-C as an AbortSignal. A second one ends the process at once. */
export class Interrupt {
  readonly #controller = new AbortController();
  #finishing = false;

  constructor() {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => this.#stop());
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The work's result, or a rejection as soon as the signal comes: a step may take minutes on a slow device. */
  async race<T>(work: Promise<T>): Promise<T> {
    const stopped = new Promise<never>((_, reject) => {
      this.signal.addEventListener("abort", () => reject(this.signal.reason as Error), { once: true });
    });
    work.catch(() => {}); // after an abort nobody waits for it
    return Promise.race([work, stopped]);
  }

  /** From here on the results are being written, which takes a moment: they come whole or not at all. */
  finish(): void {
    this.signal.throwIfAborted();
    this.#finishing = true;
  }

  #stop(): void {
    if (this.#finishing) return;
    if (this.signal.aborted) process.exit(130);
    this.#controller.abort();
  }
}
