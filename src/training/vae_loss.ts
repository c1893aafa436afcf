import type { AutoencoderKL } from "../models/vae/vae.ts";
import { add, exp, mean, mseLoss, mul, sub } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * A variational autoencoder's loss (Kingma and Welling 2013, arXiv 1312.6114, eq. 10): how far the picture that comes
 * back is off, plus how far the latents are from normal.
 * @param images [n, h, w, 3] in -1…1
 * @param noise normal numbers of the latents' shape, by which they are drawn from their distribution
 * @param klWeight weight of the divergence from a standard normal distribution
 */
export function vaeLoss(vae: AutoencoderKL, images: Tensor, noise: Tensor, klWeight = 1e-6): Tensor {
  const latents = vae.encode(images);
  const deviation = exp(mul(latents.logvar, 0.5));
  const decoded = vae.decode(add(latents.mean, mul(deviation, noise)));
  const error = mseLoss(decoded, images);
  // 0.5 · (μ² + σ² − 1 − log σ²), a mean over latents
  const divergence = sub(
    add(mean(mul(latents.mean, latents.mean)), mean(mul(deviation, deviation))),
    add(mean(latents.logvar), 1),
  );
  return add(error, mul(divergence, 0.5 * klWeight));
}
