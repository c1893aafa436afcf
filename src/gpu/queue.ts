import { DeviceLostError, OutOfMemoryError, ToileError } from "../util/errors.ts";
import type { DeviceFacts } from "./facts.ts";
import { copy, type Command, type RecordedDispatch } from "./commands.ts";
import type { Profiler } from "./profiler.ts";
import { USAGE } from "./buffers.ts";

const BATCH = 128; // dispatches in one submit
const IN_FLIGHT = 3; // submits the device may have waiting
const BIND_GROUPS = 8192; // cached bind groups before the cache starts afresh

/**
 * Records commands at once and submits them in order, in batches of one compute pass each, as soon as their
 * pipelines are compiled. Failures are kept and thrown by the next `flush`.
 */
export class CommandQueue {
  readonly #device: GPUDevice;
  readonly #facts: DeviceFacts;
  readonly #slot: number;
  readonly #arena: GPUBuffer;
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  #pending: Command[] = [];
  #tail: Promise<void> = Promise.resolve();
  #inFlight: Promise<unknown>[] = [];
  #failure: ToileError | undefined;
  #checks: Promise<void>[] = [];
  profiler: Profiler | undefined;
  /** Number of the batch that is being recorded. */
  batch = 0;
  /** Number of the first batch that has not been submitted yet. */
  submitted = 0;

  constructor(device: GPUDevice, facts: DeviceFacts) {
    this.#device = device;
    this.#facts = facts;
    const align = facts.limits.minUniformBufferOffsetAlignment;
    this.#slot = Math.ceil(128 / align) * align; // struct Params is at most 32 scalars
    this.#arena = device.createBuffer({ size: BATCH * this.#slot, usage: USAGE.UNIFORM | USAGE.COPY_DST });
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault(); // Dawn would print it on stdout
      this.fail(asError(event.error, this.#facts));
    });
  }

  push(command: Command): void {
    const views = "pipeline" in command ? command.views : [command.from, command.to];
    for (const view of views) view.buffer.lastUse = this.batch;
    this.#pending.push(command);
    if (this.#pending.length >= BATCH) this.#cut();
  }

  /** Keeps the first failure for the next flush. */
  fail(error: ToileError): void {
    this.#failure ??= error;
  }

  /** Runs `act` inside error scopes whose answer the next flush waits for. */
  guarded<T>(act: () => T, outOfMemory?: () => OutOfMemoryError): T {
    this.#device.pushErrorScope("validation");
    this.#device.pushErrorScope("out-of-memory");
    try {
      return act();
    } finally {
      for (const scope of [this.#device.popErrorScope(), this.#device.popErrorScope()]) {
        const check = scope.then(
          (error) => {
            if (error) this.fail(outOfMemory && isOutOfMemory(error) ? outOfMemory() : asError(error, this.#facts));
          },
          () => {}, // a lost device answers through `lost`
        );
        this.#checks.push(check);
      }
    }
  }

  /** Submits what was recorded and waits until the device has done it. Throws what failed since the last flush. */
  async flush(): Promise<void> {
    this.#cut();
    await this.#tail;
    if (this.#failure === undefined) await this.#device.queue.onSubmittedWorkDone();
    this.#inFlight = [];
    await this.settle();
  }

  /** Submits what was recorded, without waiting for the device. */
  async submit(): Promise<void> {
    this.#cut();
    await this.#tail;
  }

  /** Throws what failed so far. */
  async settle(): Promise<void> {
    const checks = this.#checks;
    this.#checks = [];
    await Promise.all(checks);
    const failure = this.#failure;
    if (failure && !(failure instanceof DeviceLostError)) this.#failure = undefined;
    if (failure) throw failure;
  }

  forgetBindGroups(): void {
    this.#bindGroups.clear();
  }

  destroy(): void {
    this.#arena.destroy();
    this.#bindGroups.clear();
  }

  #cut(): void {
    if (this.#pending.length === 0) return;
    const commands = this.#pending;
    this.#pending = [];
    this.batch++;
    this.#tail = this.#tail
      .then(() => this.#send(commands))
      .catch((error: unknown) => {
        this.fail(
          error instanceof ToileError ? error : new ToileError("submit", String((error as Error).message ?? error)),
        );
      })
      .then(() => {
        this.submitted++;
      });
  }

  async #send(commands: readonly Command[]): Promise<void> {
    if (this.#failure) return; // what follows a failure would only repeat it
    await Promise.all(commands.map((command) => ("pipeline" in command ? command.pipeline.ready : undefined)));
    while (this.#inFlight.length >= IN_FLIGHT) await this.#inFlight.shift();
    if (this.#failure) return;
    this.guarded(() => {
      const uniforms = new Uint8Array(commands.length * this.#slot);
      for (const [i, command] of commands.entries())
        if ("pipeline" in command) uniforms.set(new Uint8Array(command.params), i * this.#slot);
      this.#device.queue.writeBuffer(this.#arena, 0, uniforms);
      const encoder = this.#device.createCommandEncoder();
      if (this.profiler)
        this.profiler.encode(encoder, commands, (pass, command, i) => this.#dispatch(pass, command, i));
      else this.#encode(encoder, commands);
      this.#device.queue.submit([encoder.finish()]);
    });
    await this.profiler?.collect();
    this.#inFlight.push(this.#device.queue.onSubmittedWorkDone().catch(() => {}));
  }

  #encode(encoder: GPUCommandEncoder, commands: readonly Command[]): void {
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
    pass.setBindGroup(0, this.#bindGroup(command), [index * this.#slot]);
    pass.dispatchWorkgroups(command.x, command.y);
  }

  #bindGroup({ pipeline, views }: RecordedDispatch): GPUBindGroup {
    let key = pipeline.name;
    for (const view of views) key += `|${view.buffer.id}:${view.offset}:${view.bytes}`;
    let group = this.#bindGroups.get(key);
    if (!group) {
      if (this.#bindGroups.size >= BIND_GROUPS) this.#bindGroups.clear();
      group = this.#device.createBindGroup({
        layout: pipeline.layout,
        entries: [
          { binding: 0, resource: { buffer: this.#arena, offset: 0, size: this.#slot } },
          ...views.map((view, i) => ({
            binding: i + 1,
            resource: { buffer: view.buffer.gpu, offset: view.offset, size: Math.ceil(view.bytes / 16) * 16 },
          })),
        ],
      });
      this.#bindGroups.set(key, group);
    }
    return group;
  }
}

const isOutOfMemory = (error: GPUError) => error.constructor.name === "GPUOutOfMemoryError";

function asError(error: GPUError, facts: DeviceFacts): ToileError {
  const line = error.message.split("\n")[0] ?? "";
  if (isOutOfMemory(error)) return new OutOfMemoryError("device", `out of memory on ${facts.name}: ${line}`, 0);
  return new ToileError("device", line);
}
