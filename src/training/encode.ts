import type { Device } from "../gpu/device.ts";
import type { AutoencoderKL } from "../models/vae/vae.ts";
import { mul } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Category } from "../vision/agnostic.ts";
import { compositeGray, toFloat, type GrayImage, type RgbImage } from "../vision/image.ts";
import type { Shape } from "../util/shape.ts";
import type { EncodedPair } from "./batches.ts";

/** A person, a garment, and where it is worn: all of one size. */
export interface TryOnPair {
  readonly person: RgbImage;
  readonly garment: RgbImage;
  readonly mask: GrayImage;
  /** The person in the garment, where that is not what `person` shows. */
  readonly truth?: RgbImage | undefined;
  readonly category: Category;
}

/** Networks that turn pictures into what the UNets read. They are not trained. */
export interface PairEncoders {
  readonly vae: AutoencoderKL;
  /** The conditioning's tokens for a garment, [1, tokens, cross_attention_dim]; the caller's to dispose of. */
  readonly encodePrompt: (garment: RgbImage, category: Category) => Tensor;
}

/**
 * Latents and tokens of a pair. All latents are the VAE's modes; the target alone is scaled, as the try-on's own
 * inputs are.
 */
export async function encodePair(device: Device, encoders: PairEncoders, pair: TryOnPair): Promise<EncodedPair> {
  const { vae, encodePrompt } = encoders;
  const mode = (image: RgbImage) => {
    const pixels = Tensor.from(device, toFloat(image), [1, image.height, image.width, 3]);
    return vae.encode(pixels).mode();
  };
  const read = async (make: () => Tensor) => {
    const tensor = device.scope(make);
    try {
      return { shape: tensor.shape.slice(1), data: await tensor.data() };
    } finally {
      tensor.dispose();
    }
  };
  const target = await read(() => mul(mode(pair.truth ?? pair.person), vae.config.scaling_factor));
  const masked = await read(() => mode(compositeGray(pair.person, pair.mask, 127)));
  const garment = await read(() => mode(pair.garment));
  const prompt = await read(() => encodePrompt(pair.garment, pair.category));
  return {
    shape: target.shape,
    target: target.data,
    masked: masked.data,
    garment: garment.data,
    region: regionOf(pair.mask, target.shape),
    promptEmbeds: prompt.data,
    promptShape: prompt.shape,
  };
}

/** The mask at the latents' size, [h, w, c]: the first pixel of what each covers, as a try-on has it. */
function regionOf(mask: GrayImage, [h = 0, w = 0]: Shape): Float32Array {
  const at = (x: number, y: number) => mask.data[Math.floor((y * mask.height) / h) * mask.width + Math.floor((x * mask.width) / w)]!; // prettier-ignore
  return Float32Array.from({ length: h * w }, (_, i) => (at(i % w, Math.floor(i / w)) > 127 ? 1 : 0));
}
