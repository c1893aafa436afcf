import type { AutoencoderKL } from "../models/vae/vae.ts";
import { add, avgPool2d, exp, mean, mseLoss, mul, sub } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface VaeLossOptions {
  /** Weight of the divergence from a standard normal distribution. */
  readonly klWeight?: number;
  /**
   * Weight of the squared error of averages over what one latent covers. They are what four numbers can hold first,
   * and without it a small network keeps little more than brightness for thousands of steps.
   */
  readonly coarseWeight?: number;
}

/**
 * A variational autoencoder's loss (Kingma and Welling 2013, arXiv 1312.6114, eq. 10): how far the picture that comes
 * back is off, plus how far the latents are from normal.
 * @param images [n, h, w, 3] in -1…1
 * @param noise normal numbers of the latents' shape, by which they are drawn from their distribution
 */
export function vaeLoss(vae: AutoencoderKL, images: Tensor, noise: Tensor, options: VaeLossOptions = {}): Tensor {
  const { klWeight = 1e-6, coarseWeight = 0 } = options;
  const latents = vae.encode(images);
  const deviation = exp(mul(latents.logvar, 0.5));
  const decoded = vae.decode(add(latents.mean, mul(deviation, noise)));
  const fine = mseLoss(decoded, images);
  const coarse = (image: Tensor) => avgPool2d(image, { kernelSize: vae.scale });
  const error = coarseWeight > 0 ? add(fine, mul(mseLoss(coarse(decoded), coarse(images)), coarseWeight)) : fine;
  // 0.5 · (μ² + σ² − 1 − log σ²), a mean over latents
  const divergence = sub(
    add(mean(mul(latents.mean, latents.mean)), mean(mul(deviation, deviation))),
    add(mean(latents.logvar), 1),
  );
  return add(error, mul(divergence, 0.5 * klWeight));
}
