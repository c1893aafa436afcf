import { InputError } from "../util/errors.ts";
import { openShards } from "./shards.ts";
import type { Folder, TensorSource } from "./source.ts";
import { openTensors } from "./tensors.ts";

/**
 * Opens a model's weights in a folder under whichever of its published names they lie: safetensors whole or in
 * shards, with or without the `fp16` variant, else PyTorch's own format.
 * @param base - path without ending, for instance `vae/diffusion_pytorch_model` or `text_encoder/model`
 */
export async function openCheckpoint(folder: Folder, base: string): Promise<TensorSource> {
  const names = candidates(base);
  for (const path of names) {
    if (!(await folder.has(path))) continue;
    if (!path.endsWith(".json")) return openTensors(await folder.open(path));
    const parent = path.slice(0, path.lastIndexOf("/") + 1);
    return openShards({ name: path, text: await folder.text(path) }, (file) => folder.open(parent + file));
  }
  throw new InputError(folder.name, `no weights at ${base}: looked for ${names.join(", ")}`);
}

function candidates(base: string): string[] {
  // transformers calls the same weights model.safetensors and pytorch_model.bin
  const pickle = base.replace(/(^|\/)model$/, "$1pytorch_model");
  return [
    `${base}.safetensors`,
    `${base}.fp16.safetensors`,
    `${base}.safetensors.index.json`,
    `${base}.safetensors.index.fp16.json`,
    `${pickle}.bin`,
    `${pickle}.fp16.bin`,
    `${pickle}.bin.index.json`,
  ];
}
