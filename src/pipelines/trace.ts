import type { Tensor } from "../tensor/tensor.ts";
import { permute } from "../tensor/ops.ts";

export interface TracedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Named float32 copies of what a run computed, in PyTorch's layout (NCHW; tokens as they are). */
export class Trace {
  /** What was kept so far, by name. */
  readonly tensors = new Map<string, TracedTensor>();

  /** Keeps a tensor of tokens, or of an image [n, h, w, c] as [n, c, h, w]. */
  async add(name: string, tensor: Tensor): Promise<void> {
    if (tensor.shape.length !== 4) return this.set(name, tensor.shape, await tensor.data());
    const planes = tensor.device.scope(() => permute(tensor, [0, 3, 1, 2]));
    try {
      this.set(name, planes.shape, await planes.data());
    } finally {
      planes.dispose();
    }
  }

  /** Keeps numbers that are on the CPU already. */
  set(name: string, shape: readonly number[], data: ArrayLike<number>): void {
    this.tensors.set(name, { shape, data: Float32Array.from(data) });
  }
}
