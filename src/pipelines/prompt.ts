import type { Device } from "../gpu/device.ts";
import type { CLIPTextModel } from "../models/clip/text.ts";
import type { Tokenizer } from "../models/clip/tokenizer.ts";
import { Tensor } from "../tensor/tensor.ts";

export interface TextNetworks {
  readonly textEncoder: CLIPTextModel;
  readonly tokenizer: Tokenizer;
}

/** One line for each text that is longer than the text encoder reads. */
export function truncationWarnings(
  { textEncoder, tokenizer }: TextNetworks,
  texts: Readonly<Record<string, string>>,
): string[] {
  const most = textEncoder.config.max_position_embeddings;
  return Object.entries(texts).flatMap(([name, text]) => {
    const { length } = tokenizer.encode(text);
    return length > most
      ? [
          `the ${name} has ${length} tokens, ${most} are read: the last ${length - most} words or parts of words count for nothing`,
        ]
      : [];
  });
}

/** What the UNet reads of texts, cut and padded to the encoder's length: [texts, t, hidden_size]. */
export function encodeTexts(
  device: Device,
  { textEncoder, tokenizer }: TextNetworks,
  texts: readonly string[],
): Tensor {
  const maxLength = textEncoder.config.max_position_embeddings;
  const ids = texts.flatMap((text) => tokenizer.encode(text, { maxLength, padToMaxLength: true }));
  return device.scope(
    () => textEncoder.forward(Tensor.from(device, Int32Array.from(ids), [texts.length, maxLength])).lastHiddenState,
  );
}
