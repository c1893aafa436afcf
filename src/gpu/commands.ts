import type { GpuBuffer } from "./buffers.ts";
import type { View } from "./kernel.ts";
import type { Pipeline } from "./pipelines.ts";

export interface RecordedDispatch {
  readonly pipeline: Pipeline;
  readonly params: ArrayBuffer;
  readonly views: readonly View[];
  readonly x: number;
  readonly y: number;
}

export interface RecordedCopy {
  readonly from: View;
  readonly to: View;
}

/** A whole recording, run again. */
export interface RecordedPass {
  readonly reads: readonly GpuBuffer[];
  readonly writes: readonly GpuBuffer[];
}

export type Step = RecordedDispatch | RecordedCopy;
export type Command = Step | RecordedPass;

export function copy(encoder: GPUCommandEncoder, { from, to }: RecordedCopy): void {
  encoder.copyBufferToBuffer(from.buffer.gpu, from.offset, to.buffer.gpu, to.offset, Math.ceil(from.bytes / 4) * 4);
}

/** Every buffer that a command touches, each with whether the command writes it. */
export function* touched(command: Command): Generator<[buffer: GpuBuffer, written: boolean]> {
  if ("pipeline" in command) {
    const { access } = command.pipeline;
    for (const [i, view] of command.views.entries()) yield [view.buffer, access[i] === "read_write"];
  } else if ("from" in command) {
    yield [command.from.buffer, false];
    yield [command.to.buffer, true];
  } else {
    for (const buffer of command.reads) yield [buffer, false];
    for (const buffer of command.writes) yield [buffer, true];
  }
}
