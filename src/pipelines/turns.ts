import { InputError } from "../util/errors.ts";

/** Lets one run of a pipeline follow the other, and ends them all when the pipeline is disposed of. */
export class Turns {
  readonly #name: string;
  /** Ends when the last run that was asked for has. */
  #busy: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #freed: Promise<void> | undefined;
  readonly #disposal = new AbortController();

  /** @param name what an error about a disposed pipeline begins with */
  constructor(name: string) {
    this.#name = name;
  }

  /** Waits for the runs before, then works; `work` gets a signal for the caller's abort and for the disposal. */
  async run<T>(given: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const disposal = this.#disposal.signal;
    const signal = given ? AbortSignal.any([given, disposal]) : disposal;
    signal.throwIfAborted();
    const turn = this.#busy;
    const mine = turn.then(() => {
      signal.throwIfAborted();
      return work(signal);
    });
    this.#waiting++;
    this.#busy = mine.catch(() => {}).then(() => void this.#waiting--);
    await unlessAborted(turn, signal);
    return mine;
  }

  /** Stops the run that is going on, and those that wait, and then frees everything. */
  dispose(free: () => void | Promise<void>): Promise<void> {
    if (this.#freed) return this.#freed;
    this.#disposal.abort(new InputError(this.#name, "the pipeline was disposed of"));
    const freeing = async () => free();
    this.#freed = this.#waiting === 0 ? freeing() : this.#busy.then(freeing);
    return this.#freed;
  }
}

/** Waits for `turn`, but no longer than until the signal comes. */
async function unlessAborted(turn: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
  });
  await Promise.race([turn, aborted]).finally(() => signal.removeEventListener("abort", stop));
}
