import { describe, expect, test } from "vitest";
import { foreignToTower, renameOldAttention } from "../../src/checkpoint/keys.ts";

describe("renameOldAttention", () => {
  test.for([
    ["encoder.mid_block.attentions.0.query.weight", "encoder.mid_block.attentions.0.to_q.weight"],
    ["decoder.mid_block.attentions.0.key.bias", "decoder.mid_block.attentions.0.to_k.bias"],
    ["decoder.mid_block.attentions.0.value.weight", "decoder.mid_block.attentions.0.to_v.weight"],
    ["decoder.mid_block.attentions.0.proj_attn.weight", "decoder.mid_block.attentions.0.to_out.0.weight"],
  ] as const)("%s", ([old, now]) => expect(renameOldAttention(old)).toBe(now));

  test.for([
    "decoder.mid_block.attentions.0.group_norm.weight",
    "a.attentions.0.transformer_blocks.0.query.weight",
    "key.weight",
  ])("leaves %s", (key) => expect(renameOldAttention(key)).toBe(key));
});

test("each tower of a CLIPModel keeps its own tensors alone", () => {
  const keys = [
    "text_model.embeddings.position_ids",
    "text_model.final_layer_norm.weight",
    "text_projection.weight",
    "vision_model.embeddings.position_ids",
    "vision_model.post_layernorm.weight",
    "visual_projection.weight",
    "logit_scale",
    "something.else",
  ];
  const kept = (tower: "text" | "vision") => keys.filter((key) => !foreignToTower(tower)(key));
  expect(kept("text")).toEqual(["text_model.final_layer_norm.weight", "something.else"]);
  expect(kept("vision")).toEqual(["vision_model.post_layernorm.weight", "visual_projection.weight", "something.else"]);
});
