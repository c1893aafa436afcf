import type { Device } from "../gpu/device.ts";
import type { Module } from "./module.ts";
import { uploadWeight } from "../tensor/upload.ts";
import { TorchGenerator } from "../util/random.ts";
import { count } from "../util/shape.ts";

/**
 * Fills a module with PyTorch's initial weights: matrices and their biases uniform within ±1/√fan_in (He et al. 2015
 * with a = √5), norms 1 and 0, embeddings normal. Which numbers come out depends on the seed alone.
 */
export function initialize(device: Device, module: Module, seed: number, dtype: "f32" | "f16" = "f32"): void {
  const generator = new TorchGenerator(seed);
  let bound = 0;
  for (const [key, parameter] of module.parameters()) {
    const { shape, kind } = parameter;
    let values: Float32Array;
    if (kind === "table") values = generator.randn(shape);
    else if (kind === "matrix") {
      bound = 1 / Math.sqrt(count(shape.slice(1)));
      values = generator.rand(shape).map((u) => (2 * u - 1) * bound);
    } else if (key.endsWith("weight")) {
      bound = 0; // a norm: its bias follows
      values = new Float32Array(count(shape)).fill(1);
    } else
      values = bound === 0 ? new Float32Array(count(shape)) : generator.rand(shape).map((u) => (2 * u - 1) * bound);
    const bytes = new Uint8Array(values.buffer);
    parameter.set(device.scope(() => uploadWeight(device, bytes, { source: "F32", shape, kind, dtype })));
  }
}
