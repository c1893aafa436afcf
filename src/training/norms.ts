import type { Device } from "../gpu/device.ts";
import { sumSquares } from "../kernels/sum_squares.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Euclidean norm of each tensor; Infinity where an element is NaN or infinite. */
export async function norms(device: Device, tensors: readonly Tensor[]): Promise<Float64Array> {
  const arrays = tensors.map((tensor) => {
    return { view: tensor.view, count: tensor.size, elem: tensor.dtype === "f16" ? "f16" : "f32" } as const;
  });
  return (await sumSquares(device, arrays)).map(Math.sqrt);
}
