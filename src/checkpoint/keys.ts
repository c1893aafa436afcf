const OLD_ATTENTION: Readonly<Record<string, string>> = {
  query: "to_q",
  key: "to_k",
  value: "to_v",
  proj_attn: "to_out.0",
};

/** The present name of a VAE's attention tensor; before diffusers 0.15 they were query, key, value and proj_attn. */
export function renameOldAttention(key: string): string {
  return key.replace(
    /((?:^|\.)attentions\.\d+\.)(query|key|value|proj_attn)(?=\.(?:weight|bias)$)/,
    (_, path: string, old: string) => path + OLD_ATTENTION[old]!,
  );
}

const TOWERS = { text: /^text_model\./, vision: /^(vision_model|visual_projection)\./ };

/**
 * Tells which tensors of a whole CLIPModel's file one of its encoders passes over: the other tower, both's temperature,
 * the text projection, and the positions that older versions stored although every model counts them itself.
 */
export const foreignToTower =
  (tower: "text" | "vision") =>
  (key: string): boolean =>
    /(^|\.)position_ids$|^logit_scale$/.test(key) ||
    (/^(text_model|text_projection|vision_model|visual_projection)\./.test(key) && !TOWERS[tower].test(key));
