import type { Step } from "./commands.ts";
import { TARGET } from "./pace.ts";

const LEAST = 0.5; // milliseconds: what is quicker need not be told apart, since no part has so many commands

/**
 * Some commands that are submitted together: no GPU is to be busy with them for long. What each takes is judged by
 * those of its pipeline that had as much to do, to a power of two.
 */
export class Part {
  readonly commands: readonly Step[];
  readonly #times: Float64Array[] = []; // of each command's pipeline
  readonly #sizes: number[] = [];
  readonly #expected: number[] = []; // milliseconds
  #sum = 0;

  /**
   * Takes those of `commands` from `start` on that take at most `TARGET` together, or the first alone.
   * @param copies times of copies, which have no pipeline
   */
  constructor(commands: readonly Step[], start: number, copies: Float64Array) {
    let end = start;
    for (; end < commands.length; end++) {
      const command = commands[end]!;
      const times = "pipeline" in command ? command.pipeline.times : copies;
      const size = Math.min(times.length - 1, Math.floor(Math.log2(workOf(command))));
      const expected = times[size]!;
      if (end > start && this.#sum + expected > TARGET) break;
      this.#times.push(times);
      this.#sizes.push(size);
      this.#expected.push(expected);
      this.#sum += expected;
    }
    this.commands = start === 0 && end === commands.length ? commands : commands.slice(start, end);
  }

  /** Shares out what they took, as was expected. Nothing falls by more than half: others may have been what was slow. */
  took(milliseconds: number): void {
    const ratio = Math.max(0.5, milliseconds / this.#sum);
    for (const [i, times] of this.#times.entries())
      times[this.#sizes[i]!] = Math.max(LEAST, this.#expected[i]! * ratio);
  }
}

/** Grows as a command's work does: with its workgroups, and with what each of them reads. */
function workOf(command: Step): number {
  if (!("pipeline" in command)) return command.from.bytes + 1;
  let bytes = 1;
  for (const view of command.views) bytes += view.bytes;
  return command.x * command.y * bytes;
}
