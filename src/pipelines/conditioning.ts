import type { Device } from "../gpu/device.ts";
import type { FusedGarment, FusionStrategy } from "../models/fusion/strategy.ts";
import type { Fusion } from "../models/unet/fusion.ts";
import type { TextKeyValues } from "../models/unet/conditioning.ts";
import type { Module } from "../nn/module.ts";
import { cast, concat, slice } from "../tensor/ops.ts";
import { Tensor, type DType } from "../tensor/tensor.ts";
import { InputError } from "../util/errors.ts";
import type { Category } from "../vision/agnostic.ts";
import { clipPreprocess } from "../vision/clip.ts";
import { toFloat, type RgbImage } from "../vision/image.ts";
import { Bag } from "./bag.ts";
import { checkChoice } from "./check.ts";
import type { TryOnComponents, TryOnEncoders, TryOnModel } from "./components.ts";
import type { Trace } from "./trace.ts";

export const CATEGORIES = ["upperbody", "lowerbody", "dress"] as const satisfies readonly Category[];

/** What the denoising UNet reads of the garments. Nothing in it changes from step to step, or from person to person. */
export interface GarmentConditioning {
  /** Keys and values of the prompts for every cross-attention. */
  readonly text: TextKeyValues;
  /** The strategy at work on the garments: [garment; zeros] of each with guidance, else [garment]. */
  readonly fusion: Fusion;
  /** The strategy's own weights, to be on the device when it runs. */
  readonly module: Module | undefined;
  /** What the user is to know about those. */
  readonly note: string | undefined;
  /** What a trace shows of the first garment, where one was asked for. */
  readonly shown: ReadonlyMap<string, Tensor>;
  dispose(): void;
}

/** A garment at the output's size. */
export interface Garment {
  readonly garment: RgbImage;
  readonly category: Category;
}

export interface ConditioningInputs extends Omit<PromptInputs, "garment" | "category"> {
  readonly components: TryOnComponents;
  /** Worn at once. */
  readonly garments: readonly Garment[];
  readonly strategy: FusionStrategy;
  readonly guided: boolean;
  /** Whether a trace will ask for `shown`. */
  readonly traced: boolean;
}

/**
 * The garments' way into the try-on (arXiv 2403.01779, section 3): their CLIP embeddings join the prompt, and the
 * garment UNet's tokens go to the fusion. With guidance the second half is the UNet's pass over an all-zero garment
 * latent under the same prompt ("outfitting dropout").
 */
export async function encodeGarments(inputs: ConditioningInputs): Promise<GarmentConditioning> {
  const { device, components, garments, strategy } = inputs;
  const bag = new Bag(device);
  try {
    const { residency, vae, garmentUnet, tryOnUnet } = components;
    const reads = strategy.reads ?? "tokens";
    checkChoice("reads", reads, ["tokens", "latents", "nothing"], `fusion "${strategy.name}"`);
    await residency.only(components.textEncoder, components.imageEncoder);
    const prompts = bag.run(() => garments.map((garment) => encodePrompt({ ...inputs, ...garment })));
    if (reads !== "nothing") await residency.only(vae);
    const latents = reads === "nothing" ? [] : bag.run(() => garments.map((each) => encodeLatents(inputs, each)));
    if (reads === "tokens") await residency.only(garmentUnet);
    const features = (latent: Tensor, i: number) => {
      const { dtype } = garmentUnet;
      const [time, text] = [garmentUnet.encodeTime([0]).at(0), garmentUnet.encodeText(cast(prompts[i]!.prompt, dtype))];
      return device.planned(() => garmentUnet.features(cast(latent, dtype), time, text));
    };
    const tokens = reads === "tokens" ? bag.run(() => latents.map(features)) : [];
    await residency.only(tryOnUnet);
    const { module, note } = await components.fusions.of(strategy);
    const [first, ...more] = prompts.map(({ prompt }) => prompt);
    const every = more.length === 0 ? first! : bag.run(() => concat([first!, ...more], 1));
    const text = bag.hold(device.scope(() => tryOnUnet.encodeText(cast(every, tryOnUnet.dtype)).keep()));
    const own = bag.run(() => latents.map((latent) => cast(latent, tryOnUnet.dtype)));
    const fused: FusedGarment[] = own.map((latent, i) => ({ latents: latent, tokens: tokens[i] ?? [] }));
    const latentScale = vae.config.scaling_factor;
    const fusion = bag.run(() => {
      const made = strategy.fuse({ unet: tryOnUnet, garments: fused, module: module!, latentScale });
      if (typeof (made as Fusion | undefined)?.selfAttention === "function") return made;
      throw new InputError(`fusion "${strategy.name}"`, "fuse() gave no object with selfAttention()");
    });
    device.scope(() => fusion.prepare?.(tryOnUnet.transformerBlocks()));
    const shown = shownOf(prompts[0]!, latents[0], tokens[0]);
    if (!inputs.traced) {
      const read = fusion.prepare ? [...latents, ...own, ...tokens.flat()] : [];
      for (const tensor of [every, ...prompts.flatMap((prompt) => Object.values(prompt)), ...read]) bag.drop(tensor);
    }
    await device.flush();
    return { text, fusion, module, note, shown, dispose: () => bag.dispose() };
  } catch (error) {
    bag.dispose();
    throw error;
  }
}

/** [1, h, w, c], or, with guidance, [garment; zeros]. */
function encodeLatents({ device, components: { vae }, guided }: ConditioningInputs, { garment }: Garment): Tensor {
  const image = imageTensor(device, garment, vae.dtype);
  const mode = device.planned(() => vae.encode(image).mode());
  return guided ? concat([mode, Tensor.zeros(device, mode.shape, mode.dtype)], 0) : mode;
}

/** Under the names that the reference tensors have. */
function shownOf(
  { embeds, hidden, prompt }: ReturnType<typeof encodePrompt>,
  latents: Tensor | undefined,
  tokens: readonly Tensor[] = [],
): Map<string, Tensor> {
  const named = Object.entries({
    "clip.image_embeds": embeds,
    "text.last_hidden_state": hidden,
    prompt_embeds: prompt,
  });
  const shown = new Map(named);
  if (latents) shown.set("garm_latents", latents);
  for (const [i, t] of tokens.entries()) shown.set(`spatial_attn.${i}`, t);
  return shown;
}

/** What the prompt of a garment is made from. */
export interface PromptInputs {
  readonly components: TryOnEncoders;
  readonly device: Device;
  readonly model: TryOnModel;
  readonly category: Category;
  /** Already of the output's size. */
  readonly garment: RgbImage;
}

/**
 * hd: the empty text's two tokens, the second replaced by the image embedding. dc: the category's three, the embedding
 * appended. All belong to the caller's scope.
 */
export function encodePrompt({ device, components, model, category, garment }: PromptInputs): {
  /** [1, c], [1, tokens of the text, c] and [1, tokens, c]. */
  embeds: Tensor;
  hidden: Tensor;
  prompt: Tensor;
} {
  const length = model === "hd" ? 2 : 3;
  const ids = components.tokenizer.encode(model === "hd" ? "" : category, { maxLength: length, padToMaxLength: true });
  const pixels = clipPreprocess(garment, components.preprocessor);
  return device.scope(() => {
    const input = cast(Tensor.from(device, pixels.data, pixels.shape), components.imageEncoder.dtype);
    const { imageEmbeds } = components.imageEncoder.forward(input);
    const { lastHiddenState } = components.textEncoder.forward(Tensor.from(device, Int32Array.from(ids), [1, length]));
    const token = imageEmbeds.reshape(1, 1, -1);
    const kept = model === "hd" ? slice(lastHiddenState, 1, 0, 1) : lastHiddenState;
    return { embeds: imageEmbeds, hidden: lastHiddenState, prompt: concat([kept, token], 1) };
  });
}

/** A picture as the autoencoder takes it: [1, h, w, 3] in -1…1. */
export function imageTensor(device: Device, image: RgbImage, dtype: DType): Tensor {
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
