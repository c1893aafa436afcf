const MOST = 256; // dispatches in one submit
const FIRST = 8; // while nothing is known of their time
export const TARGET = 100; // milliseconds: a submit of twice as much is still bearable for those who share the GPU

/** Part of a list of commands that is submitted at once. */
export interface Segment {
  readonly start: number;
  readonly length: number;
}

/**
 * Cuts a recording's commands into submits that no GPU is busy with for long: by number at first, by measured time from
 * the second pass on.
 */
export class Pace {
  segments: readonly Segment[];
  readonly #times: Float64Array; // estimate for each command, milliseconds

  constructor(count: number) {
    this.#times = new Float64Array(count).fill(TARGET / FIRST);
    this.segments = cut(this.#times);
  }

  /** Takes over what each segment of a whole pass took, in milliseconds. Another pass may have cut anew meanwhile. */
  measured(segments: readonly Segment[], times: readonly number[]): void {
    for (const [i, { start, length }] of segments.entries())
      this.#times.fill(times[i]! / length, start, start + length);
    this.segments = cut(this.#times);
  }
}

/** What dispatches of one pipeline take, in milliseconds, by their work in powers of two: nothing is known yet. */
export const unknownTimes = (): Float64Array => new Float64Array(64).fill(TARGET / FIRST);

/** Consecutive segments of at most `MOST` commands that together take at most `TARGET`, or of a single one. */
function cut(times: Float64Array): Segment[] {
  const segments: Segment[] = [];
  let [start, sum] = [0, 0];
  for (const [i, time] of times.entries()) {
    if (i > start && (sum + time > TARGET || i - start >= MOST)) {
      segments.push({ start, length: i - start });
      [start, sum] = [i, 0];
    }
    sum += time;
  }
  if (times.length > 0) segments.push({ start, length: times.length - start });
  return segments;
}
