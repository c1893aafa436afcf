const OLD_ATTENTION: Readonly<Record<string, string>> = {
  query: "to_q",
  key: "to_k",
  value: "to_v",
  proj_attn: "to_out.0",
};

/** The present name of a VAE's attention tensor; before diffusers 0.15 they were query, key, value and proj_attn. */
export function renameOldAttention(key: string): string {
  return key.replace(
    /(\.attentions\.\d+\.)(query|key|value|proj_attn)(?=\.(?:weight|bias)$)/,
    (_, path: string, old: string) => path + OLD_ATTENTION[old]!,
  );
}

/** Buffers that older checkpoints store although every model computes them. */
export const isBuffer = (key: string): boolean => /(^|\.)position_ids$/.test(key);

/** What a CLIP text encoder may find in the file of a whole CLIPModel. */
export const isForeignToTextTower = (key: string): boolean =>
  isBuffer(key) || /^(vision_model\.|visual_projection\.|text_projection\.|logit_scale$)/.test(key);

/** What a CLIP image encoder with projection may find in the file of a whole CLIPModel. */
export const isForeignToVisionTower = (key: string): boolean =>
  isBuffer(key) || /^(text_model\.|text_projection\.|logit_scale$)/.test(key);
