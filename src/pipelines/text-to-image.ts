import { mul } from "../tensor/ops.ts";
import { InputError } from "../util/errors.ts";
import { sameShape, show } from "../util/shape.ts";
import { resolveGeneration, type GenerationInputs } from "./generation.ts";
import { fromPlanes } from "./latents.ts";
import {
  pipelineOf,
  pretrained,
  type GenerationPipeline,
  type StableDiffusion,
  type Start,
  type Workplace,
} from "./stable-diffusion.ts";

/** What text to image may be asked. */
export interface TextToImageInputs extends GenerationInputs {
  /** [samples, c, height/8, width/8] of standard normal numbers to begin with instead of the seed's. */
  readonly latents?: { readonly shape: readonly number[]; readonly data: Float32Array };
}

/** Text to image: call it, load LoRA files, dispose of it. */
export type StableDiffusionPipeline = GenerationPipeline<TextToImageInputs>;

/** The side of a picture that the checkpoint was trained for: 512 pixels. */
function trainedSide({ components: { unet, vae } }: StableDiffusion): number {
  const { sample_size: size } = unet.config;
  return (typeof size === "number" ? size : 64) * vae.scale;
}

export const StableDiffusionPipeline = {
  /**
   * Loads Stable Diffusion 1 from a folder in diffusers' layout or from one CompVis file (`.safetensors`, `.ckpt`).
   * @throws InputError, WeightsError, FormatError naming file and tensor
   */
  fromPretrained: pretrained(textToImage),
};

/** The pipeline over networks that are loaded already. @throws InputError for a UNet that wants more than latents */
export function textToImage(model: StableDiffusion): GenerationPipeline<TextToImageInputs> {
  return pipelineOf(model, async (inputs: TextToImageInputs) => {
    const side = trainedSide(model);
    const settings = resolveGeneration(inputs, { width: side, height: side }, model.components.vae.scale);
    checkChannels("text to image", model, [model.components.vae.config.latent_channels]);
    return model.generate(inputs, settings, async (place) => begin(place, inputs));
  });
}

function begin(
  { device, bag, scheduler, settings, components, drawNoise }: Workplace,
  inputs: TextToImageInputs,
): Start {
  const { scale, config } = components.vae;
  const shape = [settings.samples, config.latent_channels, settings.height / scale, settings.width / scale];
  const { latents: given } = inputs;
  if (given && !sameShape(given.shape, shape))
    throw new InputError("generate", `latents are ${show(given.shape)}, ${show(shape)} is needed`);
  const noise = () => (given ? fromPlanes(device, given.data, shape) : drawNoise());
  return { latents: bag.run(() => mul(noise(), scheduler.initNoiseSigma)), first: 0 };
}

/** Throws unless the UNet takes one of these numbers of channels. */
export function checkChannels(what: string, { components }: StableDiffusion, possible: readonly number[]): void {
  const found = components.unet.config.in_channels;
  if (!possible.includes(found))
    throw new InputError(what, `the UNet has ${found} input channels, ${possible.join(" or ")} are needed`);
}
