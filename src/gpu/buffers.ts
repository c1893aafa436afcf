import { OutOfMemoryError } from "../util/errors.ts";
import type { Failure } from "./failures.ts";

/** A GPU buffer owned by the pool. `lastUse` is the number of the last batch that reads or writes it. */
export interface GpuBuffer {
  readonly id: number;
  gpu: GPUBuffer;
  readonly bytes: number;
  lastUse: number;
  /** The pool it belongs to, which tells the buffers of two devices apart. */
  readonly home: BufferPool;
  /** Why its content is not what was asked for. */
  failure?: Failure | undefined;
  /** Set when the device turns out not to have had the memory: such a buffer is never handed out again. */
  refused?: boolean;
  /** Set for what exists in a recording's plan only. */
  readonly virtual?: true;
  /** How many recordings use it: it goes back to the pool after the last of them. */
  pins?: number;
  /** Set when its owner gave it back. */
  given?: boolean;
  /** Set when the host wrote to it: what is there cannot be made again. */
  written?: boolean;
}

/** A buffer for which memory is being asked. */
export type NewBuffer = Omit<GpuBuffer, "gpu">;

export interface MemoryUse {
  /** Buffers handed out and not yet given back. */
  readonly live: number;
  /** Bytes of those. */
  readonly bytes: number;
  /** Bytes waiting in the pool. */
  readonly pooled: number;
  /** The largest sum of both so far. */
  readonly peak: number;
  /** How often the device itself was asked for memory. */
  readonly allocations: number;
}

// GPUBufferUsage, spelled out: the global exists only in browsers.
export const USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128, QUERY_RESOLVE: 512 } as const;

const ROUND = 256;

const rounded = (bytes: number) => Math.max(ROUND, Math.ceil(bytes / ROUND) * ROUND);

/**
 * Exact-size pool of storage buffers. Work is recorded in order, so a buffer given back may be handed out at once. Of
 * those that wait the oldest goes first, whatever the order in which they came: work that is done again, as a training
 * step is, soon lies where it lay, so that its bind groups are found. New ones would wait for the garbage collector in
 * their thousands, and software adapters die of that (each is a mapping of the process, which may have 65,530).
 */
export class BufferPool {
  readonly #create: (buffer: NewBuffer) => GPUBuffer;
  readonly #limit: number;
  readonly #free = new Map<number, GpuBuffer[]>();
  #nextId = 1;
  #live = 0;
  #bytes = 0;
  #pooled = 0;
  #peak = 0;
  #allocations = 0;

  constructor(create: (buffer: NewBuffer) => GPUBuffer, maxBufferSize: number) {
    this.#create = create;
    this.#limit = maxBufferSize;
  }

  /** A buffer of at least `bytes`. `idleBefore`: only reuse buffers whose last batch is older, so that a queue write is safe. */
  take(bytes: number, idleBefore = Infinity): GpuBuffer {
    const size = this.#sized(bytes);
    const buffer = this.#reuse(size, idleBefore) ?? this.#make(size);
    this.#live++;
    this.#bytes += size;
    this.#peak = Math.max(this.#peak, this.#bytes + this.#pooled);
    return buffer;
  }

  give(buffer: GpuBuffer): void {
    buffer.given = true;
    if (buffer.virtual || buffer.pins) return;
    this.#live--;
    this.#bytes -= buffer.bytes;
    if (buffer.refused) {
      buffer.gpu.destroy();
      return;
    }
    const waiting = this.#free.get(buffer.bytes) ?? [];
    const after = waiting.findLastIndex(({ id }) => id < buffer.id);
    this.#free.set(buffer.bytes, waiting.toSpliced(after + 1, 0, buffer));
    this.#pooled += buffer.bytes;
  }

  #sized(bytes: number): number {
    const size = rounded(bytes);
    if (size <= this.#limit) return size;
    const what = `${bytes} bytes asked, the device's largest buffer is ${this.#limit}`;
    throw new OutOfMemoryError("alloc", what, bytes, this.#limit);
  }

  /** A buffer without memory, of a size that could have some. */
  virtual(bytes: number): GpuBuffer {
    const gpu = undefined as never;
    return { id: this.#nextId++, gpu, bytes: this.#sized(bytes), lastUse: -1, home: this, virtual: true };
  }

  /** Keeps a buffer from the pool though its owner may give it back. */
  pin(buffer: GpuBuffer): void {
    buffer.pins = (buffer.pins ?? 0) + 1;
  }

  unpin(buffer: GpuBuffer): void {
    buffer.pins!--;
    if (buffer.given) this.give(buffer);
  }

  /** Destroys waiting buffers, the longest unused first, until at most `keep` bytes wait; only those idle since before batch `idleBefore`. */
  trim(keep: number, idleBefore: number): GpuBuffer[] {
    const idle = [...this.#free.values()].flat().filter(({ lastUse }) => lastUse < idleBefore);
    const destroyed = new Set<GpuBuffer>();
    for (const buffer of idle.sort((a, b) => a.lastUse - b.lastUse || b.bytes - a.bytes)) {
      if (this.#pooled <= keep) break;
      buffer.gpu.destroy();
      this.#pooled -= buffer.bytes;
      destroyed.add(buffer);
    }
    for (const size of new Set([...destroyed].map(({ bytes }) => bytes))) {
      const kept = this.#free.get(size)!.filter((buffer) => !destroyed.has(buffer));
      if (kept.length > 0) this.#free.set(size, kept);
      else this.#free.delete(size);
    }
    return [...destroyed];
  }

  get use(): MemoryUse {
    return {
      live: this.#live,
      bytes: this.#bytes,
      pooled: this.#pooled,
      peak: this.#peak,
      allocations: this.#allocations,
    };
  }

  #reuse(size: number, idleBefore: number): GpuBuffer | undefined {
    const waiting = this.#free.get(size);
    const at = waiting?.findIndex((buffer) => buffer.lastUse < idleBefore && !buffer.refused) ?? -1;
    if (!waiting || at < 0) return undefined;
    const buffer = waiting.splice(at, 1)[0]!;
    this.#pooled -= size;
    buffer.failure = undefined; // what it held is nobody's any more
    buffer.given = false;
    return buffer;
  }

  #make(size: number): GpuBuffer {
    const buffer: NewBuffer = { id: this.#nextId++, bytes: size, lastUse: -1, home: this };
    this.#allocations++;
    return Object.assign(buffer, { gpu: this.#create(buffer) });
  }
}
