import { InputError } from "../util/errors.ts";
import { openShards } from "./shards.ts";
import type { Folder, TensorSource } from "./source.ts";
import { openTensors } from "./tensors.ts";

/**
 * Opens a model's weights in a folder under whichever of its published names they lie: safetensors whole or in
 * shards, with or without the `fp16` variant, else PyTorch's own format.
 * @param base - path without ending, for instance `vae/diffusion_pytorch_model` or `text_encoder/model`
 * @param variant - takes files of that name alone, such as `fp16`; without it whole precision comes first
 */
export async function openCheckpoint(folder: Folder, base: string, variant?: string): Promise<TensorSource> {
  const names = candidates(base, variant);
  for (const path of names) {
    if (!(await folder.has(path))) continue;
    if (!path.endsWith(".json")) return openTensors(await folder.open(path));
    const parent = path.slice(0, path.lastIndexOf("/") + 1);
    return openShards({ name: path, text: await folder.text(path) }, (file) => folder.open(parent + file));
  }
  throw new InputError(folder.name, `no weights at ${base}: looked for ${names.join(", ")}`);
}

function candidates(base: string, variant: string | undefined): string[] {
  // transformers calls the same weights model.safetensors and pytorch_model.bin
  const pickle = base.replace(/(^|\/)model$/, "$1pytorch_model");
  const named = (v: string) => [
    `${base}.${v}.safetensors`,
    `${base}.safetensors.index.${v}.json`,
    `${pickle}.${v}.bin`,
    `${pickle}.bin.index.${v}.json`,
  ];
  if (variant !== undefined) return named(variant);
  const [half, halfShards, halfPickle] = named("fp16") as [string, string, string];
  return [
    `${base}.safetensors`,
    half,
    `${base}.safetensors.index.json`,
    halfShards,
    `${pickle}.bin`,
    halfPickle,
    `${pickle}.bin.index.json`,
  ];
}
