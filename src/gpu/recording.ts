import { DeviceError, InputError } from "../util/errors.ts";
import type { BufferPool, GpuBuffer } from "./buffers.ts";
import { touched, type Step } from "./commands.ts";
import type { DeviceLimits } from "./facts.ts";
import type { View } from "./kernel.ts";
import { planMemory, type MemoryPlan } from "./plan.ts";
import { Program } from "./program.ts";
import type { CommandQueue } from "./queue.ts";
import type { Disposable, Scopes } from "./scopes.ts";

/** What one call of a function asks of a device, in order. Memory that it makes exists by number only. */
export class Recorder {
  readonly steps: Step[] = [];
  /** Memory from outside, which stays as long as the recording does. */
  readonly foreign = new Map<GpuBuffer, { written: boolean }>();
  readonly #pool: BufferPool;
  readonly #views = new Map<GpuBuffer, { buffer: GpuBuffer }>();
  readonly #made = new Map<GpuBuffer, { first: number; last: number }>();

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  alloc(bytes: number, size: number): View {
    const view = { buffer: this.#pool.virtual(size), offset: 0, bytes };
    this.#views.set(view.buffer, view);
    return view;
  }

  /** Gives a result real memory, of which the tensor that holds it knows from now on. */
  embody(virtual: GpuBuffer, buffer: GpuBuffer): void {
    this.#pool.pin(buffer);
    if (virtual.given) buffer.given = true;
    this.#views.get(virtual)!.buffer = buffer;
  }

  push(step: Step): void {
    const now = this.steps.length;
    for (const [buffer, written] of touched(step)) {
      if (buffer.virtual) {
        if (!this.#views.has(buffer))
          throw new DeviceError("record", "a result of another recording has no memory before its first replay()");
        const life = this.#made.get(buffer);
        if (life) life.last = now;
        else this.#made.set(buffer, { first: now, last: now });
        continue;
      }
      if (buffer.failure) throw buffer.failure.error;
      const known = this.foreign.get(buffer);
      if (!known) this.#pool.pin(buffer);
      this.foreign.set(buffer, { written: written || known?.written === true });
    }
    this.steps.push(step);
  }

  /** Lets go of what is from outside. */
  abandon(): void {
    for (const buffer of this.foreign.keys()) this.#pool.unpin(buffer);
  }

  /** What was made and not given back: results. */
  get results(): GpuBuffer[] {
    return [...this.#made.keys()].filter((buffer) => !buffer.given);
  }

  /** Everything else: each with its place in the plan. */
  plan(limits: DeviceLimits) {
    const buffers = [...this.#made.keys()].filter((buffer) => buffer.given);
    const index = new Map(buffers.map((buffer, i) => [buffer, i]));
    const items = buffers.map((buffer) => ({ bytes: buffer.bytes, ...this.#made.get(buffer)! }));
    const apart = this.steps.flatMap((step) => {
      const all = [...touched(step)].map(([buffer, written]) => ({ i: index.get(buffer), written }));
      const pairs = all.filter(({ written }) => written).flatMap((w) => all.map((r) => [w, r] as const));
      return pairs.flatMap(([w, r]) =>
        w.i !== undefined && r.i !== undefined && !r.written ? [[w.i, r.i] as const] : [],
      );
    });
    const alignment = Math.max(256, limits.minStorageBufferOffsetAlignment);
    return { index, memory: planMemory(items, { apart, alignment, mostBytes: limits.maxBufferSize }) };
  }
}

/** Memory of a recording, in bytes. */
export interface RecordingMemory {
  /** What its temporaries and results take. */
  readonly bytes: number;
  /** The most of it that is in use at one moment: no plan could need less. */
  readonly bound: number;
  /** Sizes of the buffers that temporaries share. */
  readonly arenas: readonly number[];
}

/** What a recording needs of its device. */
export interface RecordingHost {
  readonly gpu: GPUDevice;
  readonly pool: BufferPool;
  readonly queue: CommandQueue;
  readonly limits: DeviceLimits;
  readonly scopes: Scopes;
  /** Whether a recording is being made at the moment. */
  readonly isRecording: () => boolean;
}

/**
 * One call of a function as a list of commands, with a plan of the memory that it needs. `replay` runs the list again
 * on what its inputs hold then, without allocating anything after the first time, and leaves results in `result`,
 * whose tensors belong to the recording.
 */
export class Recording<T> implements Disposable {
  /** What the function returned. Its tensors belong to the recording, and each `replay` writes them anew. */
  readonly result: T;
  /** What it takes of the device's memory once it was replayed. */
  readonly memory: RecordingMemory;
  readonly #host: RecordingHost;
  readonly #recorder: Recorder;
  readonly #kept: readonly Disposable[];
  readonly #results: readonly GpuBuffer[];
  readonly #plan: { readonly index: ReadonlyMap<GpuBuffer, number>; readonly memory: MemoryPlan };
  #arenas: readonly GpuBuffer[] = [];
  #settledResults: readonly GpuBuffer[] = [];
  #program: Program | undefined;
  #disposed = false;

  constructor(host: RecordingHost, recorder: Recorder, result: T, kept: readonly Disposable[]) {
    this.#host = host;
    this.#recorder = recorder;
    this.#kept = kept;
    this.#results = recorder.results;
    this.#plan = recorder.plan(host.limits);
    const { arenas, bytes, bound } = this.#plan.memory;
    const own = this.#results.reduce((sum, buffer) => sum + buffer.bytes, 0);
    this.result = result;
    this.memory = { bytes: bytes + own, bound: bound + own, arenas };
  }

  /** Dispatches and copies of one pass. */
  get length(): number {
    return this.#recorder.steps.length;
  }

  /**
   * Records one more pass, to run after everything recorded before.
   * @returns `result`, whose tensors hold this pass's values until the next
   */
  replay(): T {
    if (this.#disposed) throw new InputError("replay", "the recording was disposed of");
    if (this.#host.isRecording()) throw new InputError("replay", "called inside record, which would not contain it");
    if (this.#host.queue.failures.lost) throw this.#host.queue.failures.lost;
    this.#program ??= this.#settle();
    this.#host.queue.replay(this.#program);
    return this.result;
  }

  /** Frees everything but the result, whose tensors now belong to the scope that this is called in. */
  finish(): T {
    if (!this.#program) throw new InputError("finish", "the recording has not been replayed, or was disposed of");
    for (const kept of this.#kept) this.#host.scopes.adopt(kept);
    this.#free();
    return this.result;
  }

  /** Frees its memory and its results. Harmless when repeated. */
  dispose(): void {
    if (this.#disposed) return;
    for (const kept of this.#kept) kept.dispose();
    this.#free();
  }

  #free(): void {
    this.#disposed = true;
    const { pool, queue, scopes } = this.#host;
    scopes.orphan(this);
    for (const arena of this.#arenas) pool.give(arena);
    for (const buffer of this.#settledResults) pool.unpin(buffer);
    this.#recorder.abandon();
    const program = this.#program;
    this.#program = undefined;
    if (program) queue.afterwards(() => program.destroy());
  }

  /** Takes memory from the pool and puts everything in its place. */
  #settle(): Program {
    const { pool, gpu, queue } = this.#host;
    const { index, memory } = this.#plan;
    const [arenas, results] = takeAll(pool, (take) => [
      memory.arenas.map((bytes) => (bytes > 0 ? take(bytes) : undefined)),
      new Map(this.#results.map((virtual) => [virtual, take(virtual.bytes)])),
    ]);
    for (const [virtual, buffer] of results) this.#recorder.embody(virtual, buffer);
    this.#arenas = arenas.filter((arena) => arena !== undefined);
    this.#settledResults = [...results.values()];
    const settled = ({ buffer, offset, bytes }: View): View => {
      const place = memory.places[index.get(buffer) ?? -1];
      if (place) return { buffer: arenas[place.arena]!, offset: place.offset + offset, bytes };
      return { buffer: results.get(buffer) ?? buffer, offset, bytes };
    };
    const steps = this.#recorder.steps.map((step): Step => {
      if ("pipeline" in step) return { ...step, views: step.views.map(settled) };
      return { from: settled(step.from), to: settled(step.to) };
    });
    const foreign = [...this.#recorder.foreign];
    const written = foreign.filter(([, use]) => use.written).map(([buffer]) => buffer);
    const writes = [...this.#arenas, ...this.#settledResults, ...written];
    return new Program(gpu, { steps, slot: queue.slot, reads: foreign.map(([buffer]) => buffer), writes });
  }
}

/** Takes memory: all that `act` asks for, or none. */
function takeAll<T>(pool: BufferPool, act: (take: (bytes: number) => GpuBuffer) => T): T {
  const taken: GpuBuffer[] = [];
  try {
    return act((bytes) => {
      taken.push(pool.take(bytes));
      return taken.at(-1)!;
    });
  } catch (error) {
    for (const buffer of taken) pool.give(buffer);
    throw error;
  }
}
