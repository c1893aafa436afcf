import { OutOfMemoryError, ToileError } from "../util/errors.ts";
import { USAGE, type GpuBuffer, type NewBuffer } from "./buffers.ts";
import { copy, touched, type Command, type RecordedDispatch, type Step } from "./commands.ts";
import type { DeviceFacts } from "./facts.ts";
import { Failures, heedLoss, type Failure, type Wait } from "./failures.ts";
import type { Pipeline } from "./pipelines.ts";
import type { Profiler } from "./profiler.ts";
import { unknownTimes } from "./pace.ts";
import { Part } from "./part.ts";
import { bindGroup, Program } from "./program.ts";
import type { Host } from "../util/host.ts";

const BATCH = 128; // the most dispatches in one submit
const IN_FLIGHT = 3; // submits the device may have waiting
const BIND_GROUPS = 24576; // cached bind groups before the cache starts afresh: a training step of both UNets has ten thousand

/**
 * Records commands at once and submits them in order, in batches of one compute pass each or of several where they take
 * long, as soon as their pipelines are compiled. A command that fails marks what it should have written, and so does every command that
 * reads what is marked: reading such memory back throws the first cause.
 */
export class CommandQueue {
  readonly failures = new Failures();
  readonly #device: GPUDevice;
  readonly #facts: DeviceFacts;
  /** Bytes of a dispatch's parameters in a uniform buffer. */
  readonly slot: number;
  readonly #arena: GPUBuffer;
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  #pending: Step[] = [];
  readonly #copyTimes = unknownTimes();
  #tail: Promise<void> = Promise.resolve();
  #inFlight: Promise<unknown>[] = [];
  /** The device's answers, heard in the order in which they were asked for. */
  #verdicts: Promise<void> = Promise.resolve();
  /** The answer to the last allocation: work waits for it, so that a refused buffer can be replaced. */
  #allocated: Promise<void> = Promise.resolve();
  #anyFailed = false;
  #idleSince = 0; // when the device was last known to have nothing to do
  profiler: Profiler | undefined;
  readonly #host: Host | undefined;
  /** Number of the batch that is being recorded. */
  batch = 0;
  /** Number of the first batch that has not been submitted yet. */
  submitted = 0;

  constructor(device: GPUDevice, facts: DeviceFacts, host?: Host) {
    this.#device = device;
    this.#host = host;
    this.#facts = facts;
    const align = facts.limits.minUniformBufferOffsetAlignment;
    this.slot = Math.ceil(128 / align) * align; // struct Params is at most 32 scalars
    this.#arena = device.createBuffer({ size: BATCH * this.slot, usage: USAGE.UNIFORM | USAGE.COPY_DST });
    heedLoss(device, new WeakRef(this.failures));
    device.addEventListener("uncapturederror", this.#onUncaptured);
  }

  readonly #onUncaptured = (event: GPUUncapturedErrorEvent): void => {
    event.preventDefault(); // Dawn would print it on stdout
    this.fail(asError(event.error, this.#facts), [], this.submitted - 1);
  };

  push(command: Step): void {
    this.#touch(command);
    this.#pending.push(command);
    if (this.#pending.length >= BATCH) this.#cut();
  }

  /** Runs a whole program after everything recorded so far, as a batch of its own in several submits. */
  replay(program: Program): void {
    this.#cut();
    this.#touch(program);
    this.#enqueue([program], (batch) => this.#sendProgram(program, batch));
  }

  /** Runs `act` when everything recorded so far was submitted. */
  afterwards(act: () => void): void {
    this.#cut();
    this.#tail = this.#tail.then(act);
  }

  /** Keeps a failure for those who wait for the batch, and marks what is spoilt by it. */
  fail(error: ToileError, spoilt: Iterable<GpuBuffer>, batch = this.batch): void {
    const failure = this.failures.add(batch, error);
    for (const buffer of spoilt) this.#spoil(buffer, failure);
  }

  /**
   * Asks for memory for `buffer`. When the device refuses and `makeRoom` could free some, it is asked once more, unless
   * something was written there already; `refused` makes the error.
   */
  allocate(buffer: NewBuffer, makeRoom: () => boolean, refused: () => OutOfMemoryError): GPUBuffer {
    const ask = () =>
      this.#asked(() =>
        this.#device.createBuffer({ size: buffer.bytes, usage: USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST }),
      );
    const batch = this.batch;
    const first = ask();
    this.#verdicts = this.#verdicts.then(async () => {
      let error = await first.answer;
      if (error instanceof OutOfMemoryError && !buffer.written && makeRoom()) {
        await this.#device.queue.onSubmittedWorkDone().catch(() => {}); // what was destroyed is freed only now
        const second = ask();
        error = await second.answer;
        (buffer as GpuBuffer).gpu = second.result;
      }
      if (!error) return;
      buffer.refused = true;
      this.fail(error instanceof OutOfMemoryError ? refused() : error, [buffer as GpuBuffer], batch);
    });
    this.#allocated = this.#verdicts;
    return first.result;
  }

  /** Runs `act`; what the device says against it spoils `buffer`. */
  checked<T>(buffer: GpuBuffer, act: () => T): T {
    const { result, answer } = this.#asked(act);
    const batch = this.batch;
    this.#verdicts = this.#verdicts.then(async () => {
      const error = await answer;
      if (error && !buffer.failure) this.fail(error, [buffer], batch);
    });
    return result;
  }

  /** Begins to wait for everything recorded so far, which is submitted. */
  begin(): Wait {
    this.#cut();
    return this.failures.begin(this.batch);
  }

  /** Waits until everything was submitted. */
  async sent(): Promise<void> {
    await this.#tail;
  }

  /** Waits until the device has answered to everything submitted. */
  async answered(): Promise<void> {
    await this.#verdicts;
    await Promise.resolve(); // Dawn resolves `lost` a moment after the calls that fail because of it
  }

  /** Submits what was recorded and waits until the device has done it. @throws what failed in it */
  async flush(): Promise<void> {
    const wait = this.begin();
    await this.sent();
    if (!this.failures.lost) await this.#device.queue.onSubmittedWorkDone().catch(() => {});
    await this.answered();
    this.failures.end(wait);
  }

  forgetBindGroups(): void {
    this.#bindGroups.clear();
  }

  destroy(): void {
    this.#device.removeEventListener("uncapturederror", this.#onUncaptured);
    this.#arena.destroy();
    this.#bindGroups.clear();
  }

  /** Runs `act` inside error scopes. */
  #asked<T>(act: () => T): { readonly result: T; readonly answer: Promise<ToileError | undefined> } {
    this.#device.pushErrorScope("validation");
    this.#device.pushErrorScope("out-of-memory");
    let scopes: Promise<GPUError | null>[] = [];
    let result: T;
    try {
      result = act();
    } finally {
      // a lost device answers through `lost`
      scopes = [1, 2].map(() => this.#device.popErrorScope().catch(() => null));
    }
    const answer = Promise.all(scopes).then((errors) => {
      const error = errors.find((found) => found !== null);
      return error && asError(error, this.#facts);
    });
    return { result, answer };
  }

  #touch(command: Command): void {
    for (const [buffer, written] of touched(command)) {
      buffer.lastUse = this.batch;
      // what is written anew after somebody heard of the failure is good again
      if (written && buffer.failure && buffer.failure.told !== Infinity && !buffer.refused) buffer.failure = undefined;
    }
  }

  #cut(): void {
    const commands = this.#pending;
    this.#pending = [];
    this.#enqueue(commands, (batch) => this.#send(commands, batch));
  }

  #enqueue(commands: readonly Command[], send: (batch: number) => Promise<void>): void {
    const batch = this.batch++;
    this.#tail = this.#tail
      .then(() => send(batch))
      .catch((error: unknown) => {
        const known = error instanceof ToileError;
        const failure = known ? error : new ToileError("submit", String((error as Error).message ?? error));
        this.fail(failure, writtenBy(commands), batch);
      })
      .then(() => {
        this.submitted++;
      });
  }

  async #send(commands: readonly Step[], batch: number): Promise<void> {
    if (commands.length === 0 || this.failures.lost) return;
    await Promise.allSettled(commands.map((command) => ("pipeline" in command ? command.pipeline.ready : undefined)));
    await this.#allocated;
    const sound = commands.filter((command) => this.#isSound(command, batch));
    for (let start = 0; start < sound.length;) {
      await this.#room(); // what was submitted last tells how much may be next
      const part = new Part(sound, start, this.#copyTimes);
      const { busy } = await this.#submit(part.commands, batch, (encoder) => this.#encode(encoder, part.commands));
      void busy.then((time) => part.took(time));
      start += part.commands.length;
    }
  }

  async #sendProgram(program: Program, batch: number): Promise<void> {
    await Promise.allSettled(program.pipelines.map(({ ready }) => ready));
    await this.#allocated;
    if (!this.#isSound(program, batch)) return;
    const { pace } = program;
    const { segments } = pace;
    const times: Promise<number>[] = [];
    for (const { start, length } of segments) {
      const { busy } = await this.#submit([program], batch, (encoder) => {
        program.prepare();
        if (this.profiler) program.profile(this.profiler, encoder, start, length);
        else program.encode(encoder, start, length);
      });
      times.push(busy);
    }
    void Promise.all(times).then((all) => pace.measured(segments, all));
  }

  async #room(): Promise<void> {
    while (this.#inFlight.length >= IN_FLIGHT) await this.#inFlight.shift();
  }

  /** Submits what `encode` encodes, and tells for how many milliseconds the device was busy with it. */
  async #submit(commands: readonly Command[], batch: number, encode: (encoder: GPUCommandEncoder) => void) {
    await this.#room();
    if (this.failures.lost) return { busy: Promise.resolve(0) };
    const { answer } = this.#asked(() => {
      const encoder = this.#device.createCommandEncoder();
      encode(encoder);
      this.#device.queue.submit([encoder.finish()]);
    });
    this.#verdicts = this.#verdicts.then(async () => this.#judge(commands, batch, await answer));
    await this.profiler?.collect();
    const began = performance.now();
    const done = this.#device.queue.onSubmittedWorkDone().catch(() => {});
    this.#host?.whileBusy?.(done);
    this.#inFlight.push(done);
    const busy = done.then(() => {
      const now = performance.now();
      const time = now - Math.max(began, this.#idleSince);
      this.#idleSince = now;
      return time;
    });
    return { busy };
  }

  /** Whether a command can run. What one that cannot would have written is spoilt. */
  #isSound(command: Command, batch: number): boolean {
    const broken = pipelinesOf(command).find((pipeline) => pipeline.failure);
    if (broken?.failure) {
      this.fail(broken.failure, writtenBy([command]), batch);
      return false;
    }
    if (!this.#anyFailed) return true;
    const cause = failureOf([command]);
    for (const [buffer, written] of touched(command)) if (cause && written) this.#spoil(buffer, cause);
    return cause === undefined;
  }

  /** Hears what the device says to a batch that was submitted before all that came earlier was known to be good. */
  #judge(commands: readonly Command[], batch: number, error: ToileError | undefined): void {
    if (error) {
      const cause = failureOf(commands) ?? this.failures.add(batch, error);
      for (const buffer of writtenBy(commands)) this.#spoil(buffer, cause);
    } else if (this.#anyFailed) for (const command of commands) this.#isSound(command, batch);
  }

  #spoil(buffer: GpuBuffer, cause: Failure): void {
    this.#anyFailed = true;
    buffer.failure ??= cause;
  }

  #encode(encoder: GPUCommandEncoder, commands: readonly Step[]): void {
    const uniforms = new Uint8Array(commands.length * this.slot);
    for (const [i, command] of commands.entries())
      if ("pipeline" in command) uniforms.set(new Uint8Array(command.params), i * this.slot);
    this.#device.queue.writeBuffer(this.#arena, 0, uniforms);
    if (this.profiler) {
      this.profiler.encode(encoder, commands, (pass, command, i) => this.#dispatch(pass, command, i));
      return;
    }
    let pass: GPUComputePassEncoder | undefined;
    for (const [i, command] of commands.entries()) {
      if ("pipeline" in command) {
        pass ??= encoder.beginComputePass();
        this.#dispatch(pass, command, i);
      } else {
        pass?.end();
        pass = undefined;
        copy(encoder, command);
      }
    }
    pass?.end();
  }

  #dispatch(pass: GPUComputePassEncoder, command: RecordedDispatch, index: number): void {
    pass.setPipeline(command.pipeline.compiled!);
    pass.setBindGroup(0, this.#bindGroup(command), [index * this.slot]);
    pass.dispatchWorkgroups(command.x, command.y);
  }

  #bindGroup(command: RecordedDispatch): GPUBindGroup {
    let key = command.pipeline.name;
    for (const view of command.views) key += `|${view.buffer.id}:${view.offset}:${view.bytes}`;
    let group = this.#bindGroups.get(key);
    if (!group) {
      if (this.#bindGroups.size >= BIND_GROUPS) this.#bindGroups.clear();
      group = bindGroup(this.#device, command, this.#arena, this.slot);
      this.#bindGroups.set(key, group);
    }
    return group;
  }
}

function pipelinesOf(command: Command): readonly Pipeline[] {
  if (command instanceof Program) return command.pipelines;
  return "pipeline" in command ? [command.pipeline] : [];
}

function* writtenBy(commands: readonly Command[]): Generator<GpuBuffer> {
  for (const command of commands) for (const [buffer, written] of touched(command)) if (written) yield buffer;
}

function failureOf(commands: readonly Command[]): Failure | undefined {
  for (const command of commands) for (const [{ failure }] of touched(command)) if (failure) return failure;
  return undefined;
}

function asError(error: GPUError, facts: DeviceFacts): ToileError {
  const line = error.message.split("\n")[0] ?? "";
  if (error.constructor.name === "GPUOutOfMemoryError")
    return new OutOfMemoryError("device", `out of memory on ${facts.name}: ${line}`, 0);
  return new ToileError("device", line);
}
