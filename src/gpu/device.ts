import type { Host } from "../util/host.ts";
import { DeviceError, DeviceLostError, InputError, KernelError, OutOfMemoryError, ShapeError } from "../util/errors.ts";
import { BufferPool, USAGE, type GpuBuffer, type MemoryUse, type NewBuffer } from "./buffers.ts";
import type { DeviceFacts } from "./facts.ts";
import { packParams, type Dispatch, type Kernel, type View } from "./kernel.ts";
import { PipelineCache } from "./pipelines.ts";
import { Profiler, type ProfileRow } from "./profiler.ts";
import { CommandQueue } from "./queue.ts";
import { Recorder, Recording } from "./recording.ts";
import { Scopes, type Disposable } from "./scopes.ts";

export interface DeviceOptions {
  /** Kernel variants by name, for tests and comparisons: `{ gemm: "plain" }`; by problem where they were measured. */
  readonly variants?: Readonly<Record<string, string>>;
  readonly host?: Host;
  /** Bytes of guard band behind every buffer, which `checkGuards` inspects. For tests. */
  readonly guard?: number;
}

const GUARD_BYTE = 0xa5;
const POOL_KEEP = 512 * 2 ** 20; // bytes that may wait in the pool after a flush

/**
 * A WebGPU device with its memory, pipelines and queue. Work is recorded at once and submitted in batches;
 * `flush()`, or reading a tensor, waits for it and throws what went wrong.
 */
export class Device {
  /** WebGPU's own device. */
  readonly gpu: GPUDevice;
  /** What it can do. */
  readonly facts: DeviceFacts;
  /** Called at the end of every flush but its own. */
  onFlushed: (() => Promise<void>) | undefined;
  /** Files and ONNX networks, where there are any. */
  readonly host: Host | undefined;
  /** Sixteen bytes to bind where a kernel reads nothing. */
  readonly nothing: View;
  readonly #pool: BufferPool;
  readonly #pipelines: PipelineCache;
  readonly #queue: CommandQueue;
  readonly #scopes = new Scopes();
  readonly #guard: number;
  readonly #liveBuffers = new Map<GpuBuffer, number>();
  /** Views from `reserve` that have no memory yet. */
  readonly #reserved = new WeakSet<View>();
  /** Kernel variants that were asked for or measured, by name or by problem. */
  #variants: Readonly<Record<string, string>>;
  #isFlushed = false;
  #recorder: Recorder | undefined;

  constructor(gpu: GPUDevice, facts: DeviceFacts, { variants = {}, guard = 0, host }: DeviceOptions = {}) {
    this.gpu = gpu;
    this.facts = facts;
    this.#variants = variants;
    this.host = host;
    this.#guard = guard;
    this.#queue = new CommandQueue(gpu, facts, host);
    this.#pipelines = new PipelineCache(gpu);
    this.#pool = new BufferPool((buffer) => this.#create(buffer), facts.limits.maxBufferSize);
    const spare = gpu.createBuffer({ size: 256 + guard, usage: USAGE.STORAGE });
    this.nothing = this.#foreign(spare, 256, 16);
  }

  /** Names of kernel variants by problem: see `DeviceOptions`. */
  get variants(): Readonly<Record<string, string>> {
    return this.#variants;
  }

  /** Has a problem run in a named form from now on; recordings keep theirs. */
  choose(problem: string, name: string): void {
    this.#variants = { ...this.#variants, [problem]: name };
  }

  /** What the device's memory holds. */
  get memory(): MemoryUse {
    return this.#pool.use;
  }

  /** Pipelines compiled so far. */
  get pipelineCount(): number {
    return this.#pipelines.count;
  }

  /** Storage for `bytes` bytes, its content undefined. */
  alloc(bytes: number): View {
    this.#assertAlive();
    return this.#recorder?.alloc(bytes, wholeVectors(bytes) + this.#guard) ?? this.#alloc(bytes);
  }

  #alloc(bytes: number): View {
    // a guard band is written by the queue, so the buffer must not be in use by work still to be submitted
    const idleBefore = this.#guard ? this.#queue.submitted : Infinity;
    return this.#view(this.#pool.take(wholeVectors(bytes) + this.#guard, idleBefore), bytes);
  }

  /**
   * Storage for `bytes` bytes that takes memory when work first uses it: an operator that throws before it recorded
   * anything leaves nothing behind.
   */
  reserve(bytes: number): View {
    this.#assertAlive();
    let view: View | undefined;
    const reserved: View = {
      get buffer() {
        view ??= take();
        return view.buffer;
      },
      offset: 0,
      bytes,
    };
    const outside = !this.#recorder;
    const take = () => {
      this.#reserved.delete(reserved);
      return outside && this.#recorder ? this.#alloc(bytes) : this.alloc(bytes);
    };
    this.#reserved.add(reserved);
    return reserved;
  }

  /** Storage that holds `data`. Bytes past its end, up to the next multiple of four, are zero. */
  upload(data: ArrayBufferView): View {
    this.#assertAlive();
    const view = this.#view(
      this.#pool.take(wholeVectors(data.byteLength) + this.#guard, this.#queue.submitted),
      data.byteLength,
    );
    const whole = data.byteLength - (data.byteLength % 4);
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    view.buffer.written = true;
    this.#queue.checked(view.buffer, () => {
      if (whole > 0) this.gpu.queue.writeBuffer(view.buffer.gpu, 0, bytes, 0, whole);
      if (whole < data.byteLength) {
        const rest = new Uint8Array(4);
        rest.set(bytes.subarray(whole));
        this.gpu.queue.writeBuffer(view.buffer.gpu, whole, rest);
      }
    });
    return view;
  }

  /** Gives storage back to the pool; work recorded before may still use it. */
  release(view: View): void {
    if (this.#reserved.delete(view)) return;
    this.#liveBuffers.delete(view.buffer);
    this.#pool.give(view.buffer);
  }

  /** Records one dispatch. */
  run<P extends string, B extends string>(kernel: Kernel<P, B>, { spec, params, bind, groups }: Dispatch<P, B>): void {
    this.#assertAlive();
    const { limits } = this.facts;
    if (!Number.isInteger(groups) || groups < 1) throw new KernelError(kernel.name, `${groups} workgroups`);
    const x = Math.min(groups, limits.maxComputeWorkgroupsPerDimension);
    const y = Math.ceil(groups / x);
    if (y > limits.maxComputeWorkgroupsPerDimension)
      throw new ShapeError(
        kernel.name,
        `${groups} workgroups, the device takes at most ${limits.maxComputeWorkgroupsPerDimension} squared`,
      );
    const names = Object.keys(kernel.bind) as B[];
    for (const name of names)
      if (typeof bind[name]?.offset !== "number")
        throw new KernelError(kernel.name, `binding ${name} is ${bind[name] ? "no view" : "missing"}`);
    // what is read is looked at first: nothing takes memory for a result that will not be
    for (const access of ["read", "read_write"])
      for (const name of names) if (kernel.bind[name] === access) this.#assertBindable(kernel.name, name, bind[name]);
    const views = names.map((name) => bind[name]);
    const pipeline = this.#pipelines.get(kernel as Kernel, spec);
    const packed = packParams(kernel, params, groups);
    const widened = views.map((view) => this.#guarded(view));
    (this.#recorder ?? this.#queue).push({ pipeline, params: packed, views: widened, x, y });
  }

  /** Records a copy of `from` to the start of `to`. Both offsets and the length are multiples of four bytes. */
  copy(from: View, to: View): void {
    this.#assertAlive();
    this.#assertMine("copy", "from", from);
    this.#assertMine("copy", "to", to);
    (this.#recorder ?? this.#queue).push({ from, to });
  }

  /**
   * Reads bytes back: submits what was recorded and waits for it.
   * @throws what kept the bytes from being what was asked for, every time
   */
  async read(view: View): Promise<ArrayBuffer> {
    this.#assertAlive();
    if (this.#recorder) throw new DeviceError("read", "nothing is computed while recording: read after replay()");
    const { failures } = this.#queue;
    const size = Math.ceil(view.bytes / 4) * 4;
    const spare = this.#foreign(undefined, size, size);
    const staging = (spare.buffer.gpu = this.#queue.checked(spare.buffer, () =>
      this.gpu.createBuffer({ size, usage: USAGE.MAP_READ | USAGE.COPY_DST }),
    ));
    // recorded now, so that the storage may be given back before the bytes are here
    if (view.buffer.failure) spare.buffer.failure = view.buffer.failure;
    else this.copy({ ...view, bytes: size }, spare);
    const wait = this.#queue.begin();
    try {
      await this.#queue.sent();
      const mapped = failures.lost ? undefined : await staging.mapAsync(1).catch((error: Error) => error); // GPUMapMode.READ
      await this.#queue.answered();
      this.#assertAlive();
      const { failure } = spare.buffer;
      if (failure) failures.tell(failure);
      if (failure) throw failure.error;
      if (mapped) throw new DeviceError("read", mapped.message.split("\n")[0]!);
      return staging.getMappedRange().slice(0, view.bytes);
    } finally {
      failures.leave(wait);
      staging.destroy();
    }
  }

  /** Submits everything recorded, waits for it, and throws what failed in it. */
  async flush(): Promise<void> {
    await this.#queue.flush();
    this.#assertAlive();
    if (this.memory.pooled > POOL_KEEP) this.trim(POOL_KEEP);
    if (!this.onFlushed || this.#isFlushed) return;
    this.#isFlushed = true;
    await this.onFlushed().finally(() => (this.#isFlushed = false));
  }

  /** Lets go of pooled memory beyond `keep` bytes. Call after `flush`. @returns whether there was any */
  trim(keep = 0): boolean {
    const any = this.#pool.trim(keep, this.#queue.submitted).length > 0;
    if (any) this.#queue.forgetBindGroups();
    return any;
  }

  /** Starts compiling a kernel; `await` it to learn whether it compiles. */
  async compile(kernel: Kernel, spec?: Kernel["spec"]): Promise<void> {
    await this.#pipelines.get(kernel, spec).ready;
  }

  /**
   * Frees every tensor made inside `fn` that its result does not hold (in arrays, sets, maps and plain objects too).
   * @throws InputError when `fn` is asynchronous
   */
  scope<T>(fn: () => T): T {
    return this.#scopes.run(fn);
  }

  /**
   * Runs `fn` without computing anything, and keeps what it asks for as a list of commands. The list can be replayed any
   * number of times: it reads its inputs, tensors made before, as they are then (`Tensor.assign` changes them), and
   * writes into the tensors that `fn` returned. Numbers that `fn` uploads, and decisions that it takes, are the same
   * every time. Weights and inputs stay in memory until the recording is disposed of.
   * @throws InputError when `fn` is asynchronous, or records itself
   */
  record<T>(fn: () => T): Recording<T> {
    this.#assertAlive();
    if (this.#recorder) throw new InputError("record", "a recording inside of another");
    const recorder = new Recorder(this.#pool);
    this.#recorder = recorder;
    try {
      const { result, kept } = this.#scopes.collect(fn);
      const host = { gpu: this.gpu, limits: this.facts.limits, pool: this.#pool, queue: this.#queue };
      const isRecording = () => this.#recorder !== undefined;
      const recording = new Recording({ ...host, scopes: this.#scopes, isRecording }, recorder, result, kept);
      this.adopt(recording);
      return recording;
    } catch (error) {
      recorder.abandon();
      throw error;
    } finally {
      this.#recorder = undefined;
    }
  }

  /**
   * Runs `fn` once over a plan of its memory: the same as `scope`, in the least memory that can be found. For work whose
   * intermediate results are large.
   */
  planned<T>(fn: () => T): T {
    const recording = this.record(fn);
    recording.replay();
    return recording.finish();
  }

  /** Puts a new object under the care of the innermost scope. */
  adopt(made: Disposable): void {
    this.#scopes.adopt(made);
  }

  /** Takes an object out of every scope: it lives until disposed of. */
  orphan(kept: Disposable): void {
    this.#scopes.orphan(kept);
  }

  /** Runs `work` with every dispatch timed. Needs the feature `timestamp-query`. */
  async profile(work: () => unknown): Promise<ProfileRow[]> {
    if (!this.facts.timestamps) throw new DeviceError("profile", `${this.facts.name} has no timestamp-query`);
    await this.flush();
    if (this.#queue.profiler) throw new InputError("profile", "work is being profiled already");
    const profiler = new Profiler(this.gpu);
    this.#queue.profiler = profiler;
    try {
      await work();
      await this.flush();
      return profiler.rows();
    } finally {
      this.#queue.profiler = undefined;
      profiler.destroy();
    }
  }

  /** Names the first live buffer whose guard band was written to. For tests; needs `guard`. */
  async checkGuards(): Promise<void> {
    for (const [buffer, bytes] of this.#liveBuffers) {
      const start = wholeVectors(bytes);
      const band = new Uint8Array(await this.read({ buffer, offset: start, bytes: buffer.bytes - start }));
      const at = band.findIndex((byte) => byte !== GUARD_BYTE);
      if (at >= 0)
        throw new KernelError("guard", `buffer ${buffer.id} of ${bytes} bytes was written at byte ${start + at}`);
    }
  }

  /** Ends the device. Later calls throw `DeviceLostError`. */
  destroy(): void {
    this.detach();
    this.gpu.destroy();
  }

  /** Ends this use of a GPU device that another `Device` goes on with. Later calls throw `DeviceLostError`. */
  detach(): void {
    this.#queue.failures.lost ??= new DeviceLostError("device", "destroyed", false);
    this.trim();
    this.#pipelines.clear();
    this.nothing.buffer.gpu.destroy();
    this.#queue.destroy();
  }

  #view(buffer: GpuBuffer, bytes: number): View {
    if (this.#guard) {
      this.#liveBuffers.set(buffer, bytes);
      const start = wholeVectors(bytes);
      this.gpu.queue.writeBuffer(buffer.gpu, start, new Uint8Array(buffer.bytes - start).fill(GUARD_BYTE));
    }
    return { buffer, offset: 0, bytes };
  }

  #assertBindable(op: string, name: string, view: View): void {
    const most = this.facts.limits.maxStorageBufferBindingSize;
    if (view.bytes <= most) return this.#assertMine(op, name, view);
    const what = `${name} needs a binding of ${view.bytes} bytes, the device binds at most ${most}`;
    throw new OutOfMemoryError(op, what, view.bytes, most);
  }

  #guarded(view: View): View {
    return this.#guard ? { ...view, bytes: wholeVectors(view.bytes) + this.#guard } : view;
  }

  #create(buffer: NewBuffer): GPUBuffer {
    const { pooled } = this.#pool.use;
    if (pooled > POOL_KEEP) this.trim(POOL_KEEP);
    const held = this.#pool.use.bytes;
    const refused = () => {
      const what = `${buffer.bytes} bytes refused by ${this.facts.name}, which holds ${held} for us already`;
      return new OutOfMemoryError("alloc", what, buffer.bytes);
    };
    return this.#queue.allocate(buffer, () => this.trim(), refused);
  }

  /** Memory that is not the pool's. */
  #foreign(gpu: GPUBuffer | undefined, size: number, bytes: number): View {
    return { buffer: { id: 0, gpu: gpu!, bytes: size, lastUse: -1, home: this.#pool }, offset: 0, bytes };
  }

  #assertAlive(): void {
    const { lost } = this.#queue.failures;
    if (lost) throw lost;
  }

  #assertMine(op: string, name: string, view: View): void {
    if (this.#reserved.has(view)) return; // ours, and to take no memory before the others are known to be
    if (view.buffer.home !== this.#pool)
      throw new DeviceError(op, `${name} lies on another device than ${this.facts.name}`);
    if (view.buffer.virtual && !this.#recorder)
      throw new DeviceError(op, `${name} was made inside a recording, and has no memory before its first replay()`);
  }
}

/** Storage is used in whole 16-byte vectors: what lies past the last element of the last vector is undefined. */
const wholeVectors = (bytes: number) => Math.ceil(bytes / 16) * 16;
