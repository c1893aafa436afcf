import type { Device } from "../gpu/device.ts";
import { convert } from "../kernels/pack.ts";
import { sumSquares } from "../kernels/sum_squares.ts";
import type { Parameter } from "../nn/module.ts";
import { BYTES, Tensor } from "../tensor/tensor.ts";

/** Elements that a tensor's memory holds: a packed weight has zeros at its edges. */
export const stored = (tensor: Tensor): number => tensor.view.bytes / BYTES[tensor.dtype];

/** Zeros, f32, laid out as the parameter is. */
export function zerosLike(parameter: Parameter): Tensor {
  const { tensor } = parameter;
  return Tensor.fromStored(tensor.device, new Uint8Array(stored(tensor) * 4), tensor.shape, tensor.packed).keep();
}

/** The parameter's numbers as f32, laid out as they are. */
export function copyOf(parameter: Parameter): Tensor {
  const { tensor } = parameter;
  const copy = zerosLike(parameter);
  const source = tensor.dtype === "f16" ? "F16" : "F32";
  convert(tensor.device, tensor.view, copy.view, stored(tensor), source, "f32");
  return copy;
}

/** Euclidean norm of each tensor; Infinity where an element is NaN or infinite. */
export async function norms(device: Device, tensors: readonly Tensor[]): Promise<Float64Array> {
  const arrays = tensors.map((tensor) => {
    return { view: tensor.view, count: stored(tensor), elem: tensor.dtype === "f16" ? "f16" : "f32" } as const;
  });
  return (await sumSquares(device, arrays)).map(Math.sqrt);
}
