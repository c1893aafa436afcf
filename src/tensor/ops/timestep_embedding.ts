import type { Device } from "../../gpu/device.ts";
import { ShapeError } from "../../util/errors.ts";
import { Tensor } from "../tensor.ts";

export interface TimestepEmbeddingOptions {
  /** Cosines before sines. */
  readonly flipSinToCos?: boolean;
  readonly downscaleFreqShift?: number;
}

/**
 * Sines and cosines of timesteps at `dim / 2` frequencies from 1 down to 1/10000 (Vaswani et al. 2017, section 3.5):
 * [timesteps, dim] f32. Rounded to float32 where the reference rounds.
 * @throws ShapeError when dim is odd
 */
export function timestepEmbedding(
  device: Device,
  timesteps: readonly number[],
  dim: number,
  { flipSinToCos = false, downscaleFreqShift = 1 }: TimestepEmbeddingOptions = {},
): Tensor {
  if (dim % 2 !== 0) throw new ShapeError("timestepEmbedding", `dim ${dim} is odd`);
  const half = dim / 2;
  const values = new Float32Array(timesteps.length * dim);
  for (let i = 0; i < half; i++) {
    const exponent = Math.fround(Math.fround(-Math.fround(Math.log(10000)) * i) / (half - downscaleFreqShift));
    const frequency = Math.fround(Math.exp(exponent));
    for (const [row, timestep] of timesteps.entries()) {
      const angle = Math.fround(Math.fround(timestep) * frequency);
      values[row * dim + i + (flipSinToCos ? half : 0)] = Math.sin(angle);
      values[row * dim + i + (flipSinToCos ? 0 : half)] = Math.cos(angle);
    }
  }
  return Tensor.from(device, values, [timesteps.length, dim]);
}
