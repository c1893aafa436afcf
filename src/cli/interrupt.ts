import { EXIT, type ExitCode } from "./errors.ts";
import { say } from "./stderr.ts";

const TOGETHER = 1000; // milliseconds: what `timeout` sends to a process and to its group is one wish

/** Ctrl-C as an AbortSignal. A second one, a second later, ends the process at once, whatever it is doing. */
export class Interrupt {
  /** What it leaves behind, for the line that is said about it. */
  left: string;
  readonly #controller = new AbortController();
  #asked: number | undefined;
  #finishing = false;

  constructor(left = "nothing was written") {
    this.left = left;
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
    if (this.#asked !== undefined) {
      if (performance.now() - this.#asked > TOGETHER) process.exit(EXIT.interrupted);
      return;
    }
    this.#asked = performance.now();
    if (!this.#finishing) this.#controller.abort();
  }
}

/**
 * Does a command's work so that Ctrl-C ends it with one line and exit code 130.
 * @param left - what an interruption leaves behind, for that line
 * @param heeds - whether the work looks at the signal itself; it is waited for then, for it has something to take away
 */
export async function interruptible(
  work: (interrupt: Interrupt) => Promise<ExitCode>,
  left?: string,
  { heeds = false } = {},
): Promise<ExitCode> {
  const interrupt = new Interrupt(left);
  try {
    return await (heeds ? work(interrupt) : interrupt.race(work(interrupt)));
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    say(`toile: interrupted, ${interrupt.left}`);
    return EXIT.interrupted;
  }
}
