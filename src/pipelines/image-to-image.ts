import { repeat } from "../tensor/ops.ts";
import { InputError } from "../util/errors.ts";
import { resize } from "../vision/resize.ts";
import { toFloat, type RgbImage } from "../vision/image.ts";
import { firstStep, resolveGeneration, type GenerationInputs } from "./generation.ts";
import {
  pipelineOf,
  pretrained,
  type GenerationPipeline,
  type StableDiffusion,
  type Start,
  type Workplace,
} from "./stable-diffusion.ts";
import { checkChannels } from "./text-to-image.ts";
import { checkPicture } from "./check.ts";

/** What image to image may be asked. */
export interface ImageToImageInputs extends GenerationInputs {
  /** The picture to change. Resized (Lanczos) to `width` and `height`; default its own size, cut to multiples of 8. */
  readonly image: RgbImage;
  /** How much of the way from noise is walked: 0 keeps the picture, 1 forgets it. Default 0.8, as in diffusers. */
  readonly strength?: number | undefined;
}

/** The default strength. */
export const CHANGE = 0.8;

/** Image to image: call it, load LoRA files, dispose of it. */
export type StableDiffusionImg2ImgPipeline = GenerationPipeline<ImageToImageInputs>;

export const StableDiffusionImg2ImgPipeline = {
  /** SDEdit (Meng et al. 2021, arXiv 2108.01073) with Stable Diffusion 1. @throws as `StableDiffusionPipeline` */
  fromPretrained: pretrained(imageToImage),
};

/** The pipeline over networks that are loaded already. */
export function imageToImage(model: StableDiffusion): GenerationPipeline<ImageToImageInputs> {
  return pipelineOf(model, async (inputs: ImageToImageInputs) => {
    const { vae } = model.components;
    checkPicture("image", inputs.image, 3);
    const settings = resolveGeneration(inputs, wholeSize(inputs.image, vae.scale), vae.scale);
    checkChannels("image to image", model, [vae.config.latent_channels]);
    return model.generate(inputs, settings, async (place) => begin(place, inputs));
  });
}

/** A picture's size, cut to multiples of the autoencoder's scale. */
export function wholeSize({ width, height }: RgbImage, multiple: number): { width: number; height: number } {
  const cut = (side: number) => side - (side % multiple);
  if (Math.min(width, height) < multiple)
    throw new InputError("image", `${width}x${height} pixels are too few, ${multiple} a side are the least`);
  return { width: cut(width), height: cut(height) };
}

/** The picture at the output's size, as diffusers resizes it. */
export const fitted = (image: RgbImage, { settings: { width, height } }: Workplace): RgbImage =>
  image.width === width && image.height === height ? image : resize(image, width, height, "lanczos");

function begin(place: Workplace, { image, strength = CHANGE }: ImageToImageInputs): Start {
  const { bag, scheduler, settings, drawNoise } = place;
  const first = firstStep(scheduler, settings.steps, strength);
  const clean = place.encode(toFloat(fitted(image, place)));
  const timestep = scheduler.timesteps[first]!;
  return {
    latents: bag.run(() => scheduler.addNoise(repeat(clean, settings.samples), drawNoise(), timestep)),
    first,
  };
}
