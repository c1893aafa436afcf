import type { Device } from "../gpu/device.ts";
import type { AutoencoderKL } from "../models/vae/vae.ts";
import { add, cast, mul, slice } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fromFloat, type RgbImage } from "../vision/image.ts";
import { assertFinite } from "./diagnose.ts";
import type { Listener } from "./phases.ts";
import type { Trace } from "./trace.ts";

export interface DecodeInputs extends Listener {
  readonly device: Device;
  readonly vae: AutoencoderKL;
  readonly dtype: "f32" | "f16";
  /** [samples, h, w, latent channels], as the denoising leaves them. */
  readonly latents: Tensor;
  readonly trace?: Trace | undefined;
}

/**
 * The pictures of latents, one sample at a time: a decoder's activations are the largest of a whole run.
 * @throws NonFiniteError that names the sample and the module
 */
export async function decode(inputs: DecodeInputs): Promise<RgbImage[]> {
  const { device, vae, latents, signal, trace, onProgress } = inputs;
  const [samples = 0, ...size] = latents.shape;
  const [height, width] = [size[0]! * vae.scale, size[1]! * vae.scale];
  const pixels = height * width * 3;
  const all = trace && new Float32Array(samples * pixels);
  const images: RgbImage[] = [];
  for (let i = 0; i < samples; i++) {
    signal?.throwIfAborted();
    const again = () => device.scope(() => picture(inputs, i));
    const shown = again();
    try {
      // clamping makes black of a NaN on many devices, so it is looked for first
      await assertFinite(shown, `decode, sample ${i}`, vae, again);
      const values = await shown.data();
      all?.set(
        values.map((value) => Math.min(Math.max(value, 0), 1)),
        i * pixels,
      );
      images.push(fromFloat(values, width, height));
    } finally {
      shown.dispose();
    }
    onProgress?.("decode", i + 1, samples);
  }
  if (all) trace?.set("image", [samples, height, width, 3], all);
  return images;
}

/** One sample's picture around 0…1, [1, h, w, 3]. */
function picture({ vae, dtype, latents }: DecodeInputs, sample: number): Tensor {
  const one = mul(slice(latents, 0, sample, sample + 1), 1 / vae.config.scaling_factor);
  const decoded = cast(vae.decode(cast(one, dtype)), "f32");
  return add(mul(decoded, 0.5), 0.5);
}
