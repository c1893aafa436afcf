import { USAGE } from "./buffers.ts";
import { copy, type RecordedDispatch, type Step } from "./commands.ts";

export interface ProfileRow {
  readonly kernel: string;
  readonly dispatches: number;
  readonly milliseconds: number;
}

const QUERIES = 512; // two for each dispatch of a batch, with room

/** Times every dispatch with `timestamp-query`: one pass for each, since stamps exist only at pass boundaries. */
export class Profiler {
  readonly #set: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #readable: GPUBuffer;
  readonly #totals = new Map<string, { dispatches: number; nanoseconds: number }>();
  #names: string[] = [];

  constructor(device: GPUDevice) {
    this.#set = device.createQuerySet({ type: "timestamp", count: QUERIES });
    const size = QUERIES * 8;
    this.#resolved = device.createBuffer({ size, usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC });
    this.#readable = device.createBuffer({ size, usage: USAGE.COPY_DST | USAGE.MAP_READ });
  }

  encode(
    encoder: GPUCommandEncoder,
    commands: readonly Step[],
    dispatch: (pass: GPUComputePassEncoder, command: RecordedDispatch, index: number) => void,
  ): void {
    this.#names = [];
    for (const [i, command] of commands.entries()) {
      if (!("pipeline" in command)) {
        copy(encoder, command);
        continue;
      }
      const at = this.#names.length * 2;
      this.#names.push(command.pipeline.name);
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet: this.#set, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 },
      });
      dispatch(pass, command, i);
      pass.end();
    }
    const count = this.#names.length * 2;
    if (count === 0) return;
    encoder.resolveQuerySet(this.#set, 0, count, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#readable, 0, count * 8);
  }

  /** Adds the stamps of the batch submitted last. */
  async collect(): Promise<void> {
    if (this.#names.length === 0) return;
    await this.#readable.mapAsync(1, 0, this.#names.length * 16); // GPUMapMode.READ
    const stamps = new BigUint64Array(this.#readable.getMappedRange(0, this.#names.length * 16).slice(0));
    this.#readable.unmap();
    for (const [i, name] of this.#names.entries()) {
      const row = this.#totals.get(name) ?? { dispatches: 0, nanoseconds: 0 };
      row.dispatches++;
      row.nanoseconds += Number(stamps[2 * i + 1]! - stamps[2 * i]!);
      this.#totals.set(name, row);
    }
  }

  /** Kernels by time, the slowest first. */
  rows(): ProfileRow[] {
    return [...this.#totals]
      .map(([kernel, { dispatches, nanoseconds }]) => ({ kernel, dispatches, milliseconds: nanoseconds / 1e6 }))
      .sort((a, b) => b.milliseconds - a.milliseconds);
  }

  destroy(): void {
    this.#set.destroy();
    this.#resolved.destroy();
    this.#readable.destroy();
  }
}
