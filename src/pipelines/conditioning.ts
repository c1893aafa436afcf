import type { Device } from "../gpu/device.ts";
import { Concat } from "../models/unet/fusion.ts";
import type { TextKeyValues } from "../models/unet/conditioning.ts";
import { cast, concat, slice } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Category } from "../vision/agnostic.ts";
import { clipPreprocess } from "../vision/clip.ts";
import { toFloat, type RgbImage } from "../vision/image.ts";
import { Bag } from "./bag.ts";
import type { TryOnComponents, TryOnEncoders, TryOnModel } from "./components.ts";
import type { Trace } from "./trace.ts";

export const CATEGORIES = ["upperbody", "lowerbody", "dress"] as const satisfies readonly Category[];

/** What the denoising UNet reads of one garment. Nothing in it changes from step to step. */
export interface GarmentConditioning {
  /** Keys and values of the prompt for every cross-attention. */
  readonly text: TextKeyValues;
  /** Keys and values of the garment for every self-attention: [garment; zeros] with guidance, else [garment]. */
  readonly fusion: Concat;
  /** What a trace shows, where one was asked for. */
  readonly shown: ReadonlyMap<string, Tensor>;
  dispose(): void;
}

export interface ConditioningInputs extends PromptInputs {
  readonly components: TryOnComponents;
  readonly guided: boolean;
  /** Whether a trace will ask for `shown`. */
  readonly traced: boolean;
}

/**
 * The garment's way into the try-on (arXiv 2403.01779, section 3): its CLIP embedding joins the prompt, and the
 * garment UNet's tokens join every self-attention. With guidance the second half is the UNet's pass over an all-zero
 * garment latent under the same prompt ("outfitting dropout").
 */
export async function encodeGarment(inputs: ConditioningInputs): Promise<GarmentConditioning> {
  const { device, components, dtype } = inputs;
  const bag = new Bag(device);
  try {
    const shown = new Map<string, Tensor>();
    const { residency, vae, garmentUnet, tryOnUnet } = components;
    await residency.only(components.textEncoder, components.imageEncoder);
    const { embeds, hidden, prompt } = bag.run(() => encodePrompt(inputs));
    shown.set("clip.image_embeds", embeds).set("text.last_hidden_state", hidden).set("prompt_embeds", prompt);
    await residency.only(vae);
    const latents = bag.run(() => {
      const image = imageTensor(device, inputs.garment, dtype);
      const mode = device.planned(() => vae.encode(image).mode());
      return inputs.guided ? concat([mode, Tensor.zeros(device, mode.shape, dtype)], 0) : mode;
    });
    shown.set("garm_latents", latents);
    await residency.only(garmentUnet);
    const tokens = bag.run(() => {
      const [time, text] = [garmentUnet.encodeTime([0]).at(0), garmentUnet.encodeText(prompt)];
      return device.planned(() => garmentUnet.features(latents, time, text));
    });
    for (const [i, t] of tokens.entries()) shown.set(`spatial_attn.${i}`, t);
    await residency.only(tryOnUnet);
    const text = bag.hold(device.scope(() => tryOnUnet.encodeText(prompt).keep()));
    const fusion = bag.hold(new Concat(tokens));
    fusion.prepare(tryOnUnet.transformerBlocks());
    if (!inputs.traced) for (const tensor of [prompt, ...shown.values()]) bag.drop(tensor);
    await device.flush();
    return { text, fusion, shown, dispose: () => bag.dispose() };
  } catch (error) {
    bag.dispose();
    throw error;
  }
}

/** What the prompt of a garment is made from. */
export interface PromptInputs {
  readonly components: TryOnEncoders;
  readonly device: Device;
  readonly dtype: "f32" | "f16";
  readonly model: TryOnModel;
  readonly category: Category;
  /** Already of the output's size. */
  readonly garment: RgbImage;
}

/**
 * hd: the empty text's two tokens, the second replaced by the image embedding. dc: the category's three, the embedding
 * appended. All belong to the caller's scope.
 */
export function encodePrompt({ device, components, dtype, model, category, garment }: PromptInputs): {
  /** [1, c], [1, tokens of the text, c] and [1, tokens, c]. */
  embeds: Tensor;
  hidden: Tensor;
  prompt: Tensor;
} {
  const length = model === "hd" ? 2 : 3;
  const ids = components.tokenizer.encode(model === "hd" ? "" : category, { maxLength: length, padToMaxLength: true });
  const pixels = clipPreprocess(garment, components.preprocessor);
  return device.scope(() => {
    const input = cast(Tensor.from(device, pixels.data, pixels.shape), dtype);
    const { imageEmbeds } = components.imageEncoder.forward(input);
    const { lastHiddenState } = components.textEncoder.forward(Tensor.from(device, Int32Array.from(ids), [1, length]));
    const token = imageEmbeds.reshape(1, 1, -1);
    const kept = model === "hd" ? slice(lastHiddenState, 1, 0, 1) : lastHiddenState;
    return { embeds: imageEmbeds, hidden: lastHiddenState, prompt: concat([kept, token], 1) };
  });
}

/** A picture as the autoencoder takes it: [1, h, w, 3] in -1…1. */
export function imageTensor(device: Device, image: RgbImage, dtype: "f32" | "f16"): Tensor {
  return device.scope(() => cast(Tensor.from(device, toFloat(image), [1, image.height, image.width, 3]), dtype));
}

/** Adds a conditioning's tensors to a trace, each of the halves once per sample as the reference holds them. */
export async function traceConditioning(
  trace: Trace,
  shown: ReadonlyMap<string, Tensor>,
  samples: number,
): Promise<void> {
  for (const [name, tensor] of shown) {
    if (!/^(garm_latents|spatial_attn)/.test(name)) {
      await trace.add(name, tensor);
      continue;
    }
    const halves = tensor.shape[0]!;
    const each = Array.from({ length: halves * samples }, (_, i) => Math.floor(i / samples));
    const spread = tensor.device.scope(() =>
      concat(
        each.map((i) => slice(tensor, 0, i, i + 1)),
        0,
      ),
    );
    await trace.add(name, spread);
    spread.dispose();
  }
}
