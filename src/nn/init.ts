import type { Device } from "../gpu/device.ts";
import type { Module } from "./module.ts";
import { uploadWeight } from "../tensor/upload.ts";
import { TorchGenerator } from "../util/random.ts";
import { count } from "../util/shape.ts";

/** The last layers of residual branches: of ResNet blocks, of transformers, and of an autoencoder's attention. */
const ENDS_A_BRANCH = /(conv2|proj_out|attentions\.\d+\.to_out\.0)\.weight$/;

/**
 * Fills a module with fresh weights. Matrices are uniform within ±√(3/fan_in), which keeps the variance of what
 * passes (LeCun et al. 1998, "Efficient BackProp", eq. 16), but every residual branch ends in zeros: blocks begin as
 * the identity (Goyal et al. 2017, arXiv 1706.02677, section 5.1). With PyTorch's defaults instead, which shrink what
 * passes to a third at every layer without a norm, a small autoencoder sees little but brightness for thousands of
 * steps. Biases are 0, norms 1 and 0, embeddings normal; an autoencoder's latents begin with a deviation of e⁻³, that
 * their noise does not drown them. Which numbers come out depends on the seed alone.
 */
export function initialize(device: Device, module: Module, seed: number, dtype: "f32" | "f16" = "f32"): void {
  const generator = new TorchGenerator(seed);
  for (const [key, parameter] of module.parameters()) {
    const { shape, kind } = parameter;
    let values: Float32Array = new Float32Array(count(shape));
    if (kind === "table") values = generator.randn(shape);
    else if (kind === "matrix") {
      const bound = ENDS_A_BRANCH.test(key) ? 0 : Math.sqrt(3 / count(shape.slice(1)));
      values = generator.rand(shape).map((u) => (2 * u - 1) * bound);
    } else if (key.endsWith("weight")) values.fill(1);
    if (key === "quant_conv.weight") values.fill(0, values.length / 2);
    if (key === "quant_conv.bias") values.fill(-6, values.length / 2);
    const bytes = new Uint8Array(values.buffer as ArrayBuffer);
    parameter.set(device.scope(() => uploadWeight(device, bytes, { source: "F32", shape, kind, dtype })));
  }
}
