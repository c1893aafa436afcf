import { DeviceLostError, type ToileError } from "../util/errors.ts";

/** One thing that went wrong, and in which batch. */
export interface Failure {
  readonly batch: number;
  readonly error: ToileError;
  /** When somebody was first told. */
  told: number;
}

/** Somebody who waits for all batches before `upTo`. */
export interface Wait {
  readonly since: number;
  readonly upTo: number;
}

/**
 * What went wrong, by batch. Everybody who waited for a failed batch while nobody had been told of its failure hears
 * of it, and nobody who comes later does. A lost device is news for everybody, always.
 */
export class Failures {
  lost: DeviceLostError | undefined;
  readonly #waiting = new Set<Wait>();
  #kept: Failure[] = [];
  #clock = 0;

  add(batch: number, error: ToileError): Failure {
    const known = this.#kept.find((failure) => failure.batch === batch && failure.error === error);
    if (known) return known;
    const failure = { batch, error, told: Infinity };
    this.#kept.push(failure);
    return failure;
  }

  /** Begins a wait for the batches before `upTo`. */
  begin(upTo: number): Wait {
    const wait = { since: ++this.#clock, upTo };
    this.#waiting.add(wait);
    return wait;
  }

  /** Ends a wait. @throws what went wrong in its batches */
  end(wait: Wait): void {
    const mine = this.#kept.filter(({ batch, told }) => batch < wait.upTo && told > wait.since);
    for (const failure of mine) this.tell(failure);
    this.leave(wait);
    if (this.lost) throw this.lost;
    if (mine[0]) throw mine[0].error;
  }

  /** Ends a wait for something else than failures. */
  leave(wait: Wait): void {
    this.#waiting.delete(wait);
    const oldest = Math.min(...[...this.#waiting].map(({ since }) => since));
    this.#kept = this.#kept.filter(({ told }) => told > oldest || told === Infinity);
  }

  /** Somebody is being told. */
  tell(failure: Failure): void {
    if (failure.told === Infinity) failure.told = ++this.#clock;
  }
}

/** Has a GPU device's loss told. What was done with before is not kept in memory until then. */
export function heedLoss(gpu: GPUDevice, failures: WeakRef<Failures>): void {
  void gpu.lost.then(({ reason, message }) => {
    const what = message ? message.split("\n")[0]! : `lost (${reason})`;
    const told = failures.deref();
    if (told) told.lost ??= new DeviceLostError("device", what, reason !== "destroyed");
  });
}
