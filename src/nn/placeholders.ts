import type { Device } from "../gpu/device.ts";
import { packedSizes } from "../tensor/packing.ts";
import { BYTES, Tensor } from "../tensor/tensor.ts";
import type { Module } from "./module.ts";

/** Gives every parameter memory of its size without any content: for planning on a device that does not compute. */
export function loadPlaceholders<M extends Module>(device: Device, module: M, dtype: "f32" | "f16"): M {
  for (const [, parameter] of module.parameters()) {
    const { shape, kind } = parameter;
    if (kind === "matrix") {
      const { taps, inputs4, outputs4 } = packedSizes(shape);
      parameter.set(Tensor.emptyPacked(device, shape, dtype, taps * inputs4 * outputs4 * BYTES[dtype]));
    } else parameter.set(Tensor.empty(device, shape, kind === "vector" ? "f32" : dtype));
    void parameter.tensor.view.buffer; // memory is taken at the first use
  }
  return module;
}
