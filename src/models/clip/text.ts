import { z } from "zod";
import { chain } from "../../nn/chain.ts";
import { Embedding } from "../../nn/embedding.ts";
import { Module } from "../../nn/module.ts";
import { LayerNorm } from "../../nn/norm.ts";
import { add, slice } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { parseConfig, positive } from "../config.ts";
import { CLIPEncoder, checkHeads, towerFields, towerJson } from "./shared.ts";

const schema = z
  .object({
    ...towerFields({ hidden: 512, intermediate: 2048, heads: 8 }),
    vocab_size: positive.default(49408),
    max_position_embeddings: positive.default(77),
  })
  .superRefine(checkHeads);

/** A text encoder's config.json: transformers' field names. */
export type TextConfig = z.output<typeof schema>;

/** Reads a text encoder's config.json, or the `text_config` of a whole CLIP model's. */
export const textConfig = (json: unknown): TextConfig =>
  parseConfig("CLIPTextModel", towerJson(json, "text_config"), schema);

class TextEmbeddings extends Module {
  readonly token_embedding: Embedding;
  readonly position_embedding: Embedding;

  constructor({ vocab_size: words, max_position_embeddings: positions, hidden_size: channels }: TextConfig) {
    super();
    this.token_embedding = new Embedding(words, channels);
    this.position_embedding = new Embedding(positions, channels);
  }

  /** `ids` i32 [n, t] → [n, t, c]. */
  forward(ids: Tensor): Tensor {
    const positions = slice(this.position_embedding.weight.tensor, 0, 0, ids.shape[1]!);
    return add(this.token_embedding.forward(ids), positions);
  }
}

class CLIPTextTransformer extends Module {
  readonly embeddings: TextEmbeddings;
  readonly encoder: CLIPEncoder;
  readonly final_layer_norm: LayerNorm;

  constructor(config: TextConfig) {
    super();
    this.embeddings = new TextEmbeddings(config);
    this.encoder = new CLIPEncoder(config);
    this.final_layer_norm = new LayerNorm(config.hidden_size, { eps: config.layer_norm_eps });
  }

  forward(ids: Tensor): Tensor {
    return chain(ids, [
      (h) => this.embeddings.forward(h),
      (h) => this.encoder.forward(h, { isCausal: true }),
      (h) => this.final_layer_norm.forward(h),
    ]);
  }
}

/** CLIP's text tower without its projection: what Stable Diffusion reads of a prompt. */
export class CLIPTextModel extends Module {
  readonly text_model: CLIPTextTransformer;
  /** The checkpoint's config.json, defaults filled in. */
  readonly config: TextConfig;

  /** @param json the checkpoint's config.json, of this tower or of a whole CLIP model */
  constructor(json: unknown) {
    super();
    this.config = textConfig(json);
    this.text_model = new CLIPTextTransformer(this.config);
  }

  /**
   * @param ids i32 [n, t], t at most `max_position_embeddings`
   * @returns `lastHiddenState` [n, t, hidden_size], after the final norm
   */
  forward(ids: Tensor): { lastHiddenState: Tensor } {
    const most = this.config.max_position_embeddings;
    if (ids.shape.length !== 2 || ids.shape[1]! > most)
      throw new ShapeError("CLIPTextModel", `ids are ${show(ids.shape)}, [n, at most ${most}] is needed`);
    return { lastHiddenState: this.text_model.forward(ids) };
  }
}
