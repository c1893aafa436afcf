import { USAGE, type GpuBuffer } from "./buffers.ts";
import { copy, type RecordedDispatch, type RecordedPass, type Step } from "./commands.ts";
import { Pace } from "./pace.ts";
import type { Pipeline } from "./pipelines.ts";
import type { Profiler } from "./profiler.ts";

/**
 * A list of commands whose memory is settled: parameters lie in one uniform buffer that is written once, bind groups are
 * made at the first pass, and every pass is nothing but encoding.
 */
export class Program implements RecordedPass {
  /** Memory that it needs from outside, and memory that it leaves results in. */
  readonly reads: readonly GpuBuffer[];
  readonly writes: readonly GpuBuffer[];
  readonly pace: Pace;
  readonly pipelines: readonly Pipeline[];
  readonly #device: GPUDevice;
  readonly #steps: readonly Step[];
  readonly #slot: number;
  readonly #offsets: Uint32Array;
  readonly #groups: GPUBindGroup[] = [];
  #uniforms: GPUBuffer | undefined;

  constructor(
    device: GPUDevice,
    { steps, slot, reads, writes }: RecordedPass & { readonly steps: readonly Step[]; readonly slot: number },
  ) {
    this.#device = device;
    this.#steps = steps;
    this.#slot = slot;
    this.#offsets = Uint32Array.from(steps, (_, i) => i * slot);
    this.reads = reads;
    this.writes = writes;
    this.pipelines = [...new Set(steps.flatMap((step) => ("pipeline" in step ? [step.pipeline] : [])))];
    this.pace = new Pace(steps.length);
  }

  /** Makes what every pass needs, once the pipelines are compiled and the memory is there. */
  prepare(): void {
    if (this.#uniforms) return;
    const size = Math.max(1, this.#steps.length) * this.#slot;
    const packed = new Uint8Array(size);
    for (const [i, step] of this.#steps.entries())
      if ("pipeline" in step) packed.set(new Uint8Array(step.params), i * this.#slot);
    this.#uniforms = this.#device.createBuffer({ size, usage: USAGE.UNIFORM | USAGE.COPY_DST });
    this.#device.queue.writeBuffer(this.#uniforms, 0, packed);
    for (const [i, step] of this.#steps.entries())
      if ("pipeline" in step) this.#groups[i] = bindGroup(this.#device, step, this.#uniforms, this.#slot);
  }

  /** Encodes commands `start` … `start + length - 1`, in one compute pass where no copy lies between. */
  encode(encoder: GPUCommandEncoder, start: number, length: number): void {
    let pass: GPUComputePassEncoder | undefined;
    let pipeline: Pipeline | undefined;
    for (let i = start; i < start + length; i++) {
      const step = this.#steps[i]!;
      if (!("pipeline" in step)) {
        pass?.end();
        pass = pipeline = undefined;
        copy(encoder, step);
        continue;
      }
      pass ??= encoder.beginComputePass();
      if (step.pipeline !== pipeline) pass.setPipeline(step.pipeline.compiled!);
      pipeline = step.pipeline;
      pass.setBindGroup(0, this.#groups[i]!, this.#offsets, i, 1);
      pass.dispatchWorkgroups(step.x, step.y);
    }
    pass?.end();
  }

  /** The same with every dispatch timed. */
  profile(profiler: Profiler, encoder: GPUCommandEncoder, start: number, length: number): void {
    profiler.encode(encoder, this.#steps.slice(start, start + length), (pass, step, i) => {
      pass.setPipeline(step.pipeline.compiled!);
      pass.setBindGroup(0, this.#groups[start + i]!, this.#offsets, start + i, 1);
      pass.dispatchWorkgroups(step.x, step.y);
    });
  }

  destroy(): void {
    this.#uniforms?.destroy();
  }
}

/** The parameters' slot, moved by a dynamic offset, and the storage bindings behind it. */
export function bindGroup(
  device: GPUDevice,
  { pipeline, views }: RecordedDispatch,
  uniforms: GPUBuffer,
  slot: number,
): GPUBindGroup {
  return device.createBindGroup({
    layout: pipeline.layout,
    entries: [
      { binding: 0, resource: { buffer: uniforms, offset: 0, size: slot } },
      ...views.map((view, i) => ({
        binding: i + 1,
        resource: { buffer: view.buffer.gpu, offset: view.offset, size: Math.ceil(view.bytes / 16) * 16 },
      })),
    ],
  });
}
