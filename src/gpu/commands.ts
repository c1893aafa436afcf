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

export type Command = RecordedDispatch | RecordedCopy;

export function copy(encoder: GPUCommandEncoder, { from, to }: RecordedCopy): void {
  encoder.copyBufferToBuffer(from.buffer.gpu, from.offset, to.buffer.gpu, to.offset, Math.ceil(from.bytes / 4) * 4);
}
