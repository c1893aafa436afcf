import { concat, mul, repeat } from "../tensor/ops.ts";
import { toFloat, type GrayImage } from "../vision/image.ts";
import { resize } from "../vision/resize.ts";
import { firstStep, resolveGeneration } from "./generation.ts";
import { fitted, wholeSize, type ImageToImageInputs } from "./image-to-image.ts";
import { latentMask } from "./latents.ts";
import { checkPicture } from "./check.ts";
import {
  pipelineOf,
  pretrained,
  type GenerationPipeline,
  type StableDiffusion,
  type Start,
  type Workplace,
} from "./stable-diffusion.ts";
import { checkChannels } from "./text-to-image.ts";

/** What inpainting may be asked. */
export interface InpaintInputs extends ImageToImageInputs {
  /** White where the picture may be painted anew, over the picture at any size. */
  readonly maskImage: GrayImage;
  /** How much of the way from noise is walked: 1, the default, forgets what is behind the mask. */
  readonly strength?: number | undefined;
}

/** The default strength. */
export const ANEW = 1;

/** Inpainting: call it, load LoRA files, dispose of it. */
export type StableDiffusionInpaintPipeline = GenerationPipeline<InpaintInputs>;

export const StableDiffusionInpaintPipeline = {
  /**
   * Inpainting with a UNet that was trained for it (9 channels: latents, mask, masked picture), or with any (4
   * channels): the picture's latents are then put back outside the mask after each step, as in Blended Latent
   * Diffusion (Avrahami et al. 2022, arXiv 2206.02779).
   * @throws as `StableDiffusionPipeline`
   */
  fromPretrained: pretrained(inpaint),
};

/** The pipeline over networks that are loaded already. */
export function inpaint(model: StableDiffusion): GenerationPipeline<InpaintInputs> {
  return pipelineOf(model, async (inputs: InpaintInputs) => {
    const { vae } = model.components;
    const latent = vae.config.latent_channels;
    checkPicture("image", inputs.image, 3);
    checkPicture("maskImage", inputs.maskImage, 1);
    const settings = resolveGeneration(inputs, wholeSize(inputs.image, vae.scale), vae.scale);
    checkChannels("inpaint", model, [latent, 2 * latent + 1]);
    return model.generate(inputs, settings, async (place) => begin(place, inputs));
  });
}

/** The mask at the output's size, 0 or 255: diffusers resizes it (Lanczos) and cuts at half. */
function hardMask(mask: GrayImage, { settings: { width, height } }: Workplace): GrayImage {
  const sized = mask.width === width && mask.height === height ? mask : resize(mask, width, height, "lanczos");
  return { ...sized, data: sized.data.map((value) => (value / 255 < 0.5 ? 0 : 255)) };
}

/** The order of the draws is diffusers': picture, noise, masked picture. */
function begin(place: Workplace, { image: given, maskImage, strength = ANEW }: InpaintInputs): Start {
  const { device, components, bag, scheduler, settings, drawNoise } = place;
  const first = firstStep(scheduler, settings.steps, strength);
  const [image, mask] = [fitted(given, place), hardMask(maskImage, place)];
  const { vae, unet } = components;
  const isTrained = unet.config.in_channels > vae.config.latent_channels;
  const clean = strength < 1 || !isTrained ? place.encode(toFloat(image)) : undefined;
  const noise = bag.run(drawNoise);
  const latents = bag.run(() =>
    strength === 1 || !clean
      ? mul(noise, scheduler.initNoiseSigma)
      : scheduler.addNoise(repeat(clean, settings.samples), noise, scheduler.timesteps[first]!),
  );
  const masked = place.encode(toFloat(image).map((value, i) => (mask.data[Math.floor(i / 3)]! > 0 ? 0 : value)));
  const small = bag.run(() => latentMask(device, mask, vae.scale));
  if (isTrained) return { latents, first, extra: bag.run(() => concat([small, masked], 3)) };
  return { latents, first, repaint: { clean: clean!, noise, mask: small } };
}
