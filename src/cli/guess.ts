import type { TensorInfo } from "../checkpoint/source.ts";

/** What a checkpoint seems to be, from the names and shapes of its tensors. */
export interface Guess {
  readonly kind: "unet" | "vae" | "clip-text" | "clip-vision" | "clip" | "stable-diffusion" | "lora" | "unknown";
  /** For people. */
  readonly what: string;
  /** Input channels of a UNet's or autoencoder's first convolution. */
  readonly inChannels?: number;
}

type Tensors = ReadonlyMap<string, TensorInfo>;

/** Recognises the parts of a Stable Diffusion checkpoint by the keys that only they have. */
export function guess(tensors: Tensors): Guess {
  const size = (name: string, axis: number) => tensors.get(name)?.shape[axis];
  if ([...tensors.keys()].some((key) => /[._]lora[._]|lora_(up|down|A|B)/.test(key)))
    return { kind: "lora", what: "low-rank update (LoRA)" };
  const whole = size("model.diffusion_model.input_blocks.0.0.weight", 1);
  if (whole !== undefined)
    return {
      kind: "stable-diffusion",
      what: `Stable Diffusion in one file, UNet with ${whole} input channels`,
      inChannels: whole,
    };
  if (tensors.has("time_embedding.linear_1.weight")) return unet(tensors, size("conv_in.weight", 1));
  if (tensors.has("encoder.conv_in.weight") && tensors.has("decoder.conv_in.weight")) {
    const latent = size("decoder.conv_in.weight", 1);
    const inChannels = size("encoder.conv_in.weight", 1);
    return {
      kind: "vae",
      what: `AutoencoderKL (VAE), ${latent} latent channels`,
      ...(inChannels !== undefined && { inChannels }),
    };
  }
  return clip(tensors) ?? { kind: "unknown", what: "tensors of no kind known here" };
}

function unet(tensors: Tensors, inChannels: number | undefined): Guess {
  const cross = [...tensors].find(([key]) => key.endsWith("attn2.to_k.weight"))?.[1].shape[1];
  const conditioning = cross === undefined ? "" : `, conditioning of width ${cross}`;
  return {
    kind: "unet",
    what: `UNet with ${inChannels ?? "?"} input channels${conditioning}`,
    ...(inChannels !== undefined && { inChannels }),
  };
}

function clip(tensors: Tensors): Guess | undefined {
  const words = tensors.get("text_model.embeddings.token_embedding.weight")?.shape;
  const patches = tensors.get("vision_model.embeddings.patch_embedding.weight")?.shape;
  const vision = patches && `width ${patches[0]}, patches of ${patches[2]} × ${patches[3]} pixels`;
  const text = words && `width ${words[1]}, ${words[0]} words`;
  if (text && vision) return { kind: "clip", what: `CLIP, both towers (text: ${text}; vision: ${vision})` };
  if (text) return { kind: "clip-text", what: `CLIP text model, ${text}` };
  if (vision) return { kind: "clip-vision", what: `CLIP vision model, ${vision}` };
  return undefined;
}
