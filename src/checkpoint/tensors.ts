import { openPickle } from "./pytorch.ts";
import { openSafetensors } from "./safetensors.ts";
import type { ByteSource, TensorSource } from "./source.ts";

/** Opens a checkpoint file by the ending of its name; without a known one, by its first bytes. Closes it on failure. */
export async function openTensors(source: ByteSource): Promise<TensorSource> {
  try {
    if (/\.(bin|pth?|ckpt)$/i.test(source.name)) return await openPickle(source);
    if (/\.safetensors$/i.test(source.name)) return await openSafetensors(source);
    return await ((await looksLikePytorch(source)) ? openPickle(source) : openSafetensors(source));
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

/** A zip archive, or a pickle of protocol 2 or later. */
async function looksLikePytorch(source: ByteSource): Promise<boolean> {
  if (source.size < 8) return false;
  const [a = 0, b = 0, c = 0, d = 0] = await source.read(0, 4);
  return (a === 0x50 && b === 0x4b && c === 3 && d === 4) || (a === 0x80 && b >= 2 && b <= 5 && c === 0x8a);
}
