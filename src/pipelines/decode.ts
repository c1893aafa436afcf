import type { Device } from "../gpu/device.ts";
import type { AutoencoderKL } from "../models/vae/vae.ts";
import { add, cast, mul, slice } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { fromFloat, type RgbImage } from "../vision/image.ts";
import { Bag } from "./bag.ts";
import { assertFinite } from "./diagnose.ts";
import type { Listener } from "./phases.ts";
import type { Trace } from "./trace.ts";

export interface DecodeInputs extends Listener {
  readonly device: Device;
  readonly vae: AutoencoderKL;
  /** [samples, h, w, latent channels], as the denoising leaves them. */
  readonly latents: Tensor;
  readonly trace?: Trace | undefined;
}

/**
 * The pictures of latents, one sample at a time: a decoder's activations are the largest of a whole run. It is recorded once.
 * @throws NonFiniteError that names the sample and the module
 */
export async function decode(inputs: DecodeInputs): Promise<RgbImage[]> {
  const { device, vae, latents, signal, trace, onProgress } = inputs;
  const [samples = 0, ...size] = latents.shape;
  const [height, width] = [size[0]! * vae.scale, size[1]! * vae.scale];
  const pixels = height * width * 3;
  const all = trace && new Float32Array(samples * pixels);
  const images: RgbImage[] = [];
  const bag = new Bag(device);
  try {
    const latent = bag.run(() => Tensor.empty(device, [1, ...size], latents.dtype));
    const again = () => picture(vae, cast(mul(latent, 1 / vae.config.scaling_factor), vae.dtype));
    const recording = bag.hold(device.record(again));
    for (let i = 0; i < samples; i++) {
      signal?.throwIfAborted();
      device.scope(() => void latent.assign(slice(latents, 0, i, i + 1)));
      const shown = recording.replay();
      // clamping makes black of a NaN on many devices, so it is looked for first
      await assertFinite(shown, `decode, sample ${i}`, vae, () => device.scope(again));
      const values = await shown.data();
      all?.set(
        values.map((value) => Math.min(Math.max(value, 0), 1)),
        i * pixels,
      );
      images.push(fromFloat(values, width, height));
      onProgress?.("decode", i + 1, samples);
    }
  } finally {
    bag.dispose();
  }
  if (all) trace?.set("image", [samples, height, width, 3], all);
  return images;
}

/** The picture around 0…1 of unscaled latents [1, h, w, c]: [1, height, width, 3]. */
export const picture = (vae: AutoencoderKL, latent: Tensor): Tensor =>
  add(mul(cast(vae.decode(latent), "f32"), 0.5), 0.5);
