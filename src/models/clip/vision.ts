import { z } from "zod";
import { chain } from "../../nn/chain.ts";
import { Conv2d } from "../../nn/conv2d.ts";
import { Embedding } from "../../nn/embedding.ts";
import { Linear } from "../../nn/linear.ts";
import { Module, Parameter } from "../../nn/module.ts";
import { LayerNorm } from "../../nn/norm.ts";
import { add, cast, concat, repeat, slice } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { parseConfig, positive } from "../config.ts";
import { CLIPEncoder, checkHeads, towerFields, towerJson } from "./shared.ts";

const schema = z
  .object({
    ...towerFields({ hidden: 768, intermediate: 3072, heads: 12 }),
    num_channels: positive.default(3),
    image_size: positive.default(224),
    patch_size: positive.default(32),
  })
  .superRefine(checkHeads);

/** A vision encoder's config.json: transformers' field names. */
export type VisionConfig = z.output<typeof schema>;

/** Reads a vision encoder's config.json, or the `vision_config` of a whole CLIP model's. */
export const visionConfig = (json: unknown): VisionConfig =>
  parseConfig("CLIPVisionModelWithProjection", towerJson(json, "vision_config"), schema);

class VisionEmbeddings extends Module {
  readonly class_embedding: Parameter;
  readonly patch_embedding: Conv2d;
  readonly position_embedding: Embedding;

  constructor({ hidden_size: channels, num_channels: inputs, image_size: side, patch_size: patch }: VisionConfig) {
    super();
    this.class_embedding = new Parameter([channels], "vector");
    this.patch_embedding = new Conv2d(inputs, channels, patch, { stride: patch, bias: false });
    this.position_embedding = new Embedding(Math.floor(side / patch) ** 2 + 1, channels);
  }

  /** `pixels` [n, h, w, 3] → the class token and one token a patch, [n, 1 + patches, c]. */
  forward(pixels: Tensor): Tensor {
    const patches = this.patch_embedding.forward(pixels);
    const [n = 0, rows = 0, columns = 0, c = 0] = patches.shape;
    const token = cast(this.class_embedding.tensor, patches.dtype).reshape(1, 1, c);
    const tokens = concat([repeat(token, n), patches.reshape(n, rows * columns, c)], 1);
    return add(tokens, this.position_embedding.weight.tensor);
  }
}

class CLIPVisionTransformer extends Module {
  readonly embeddings: VisionEmbeddings;
  readonly pre_layrnorm: LayerNorm; // spelled so in every checkpoint
  readonly encoder: CLIPEncoder;
  readonly post_layernorm: LayerNorm;

  constructor(config: VisionConfig) {
    super();
    const { hidden_size: channels, layer_norm_eps: eps } = config;
    this.embeddings = new VisionEmbeddings(config);
    this.pre_layrnorm = new LayerNorm(channels, { eps });
    this.encoder = new CLIPEncoder(config);
    this.post_layernorm = new LayerNorm(channels, { eps });
  }

  /** `pixels` [n, h, w, 3] → the class token after the last norm, [n, c]. */
  forward(pixels: Tensor): Tensor {
    return chain(pixels, [
      (x) => this.embeddings.forward(x),
      (x) => this.pre_layrnorm.forward(x),
      (x) => this.encoder.forward(x),
      (x) => slice(x, 1, 0, 1).reshape(x.shape[0]!, x.shape[2]!),
      (x) => this.post_layernorm.forward(x),
    ]);
  }
}

/** CLIP's vision tower with its projection into the space that pictures and texts share. */
export class CLIPVisionModelWithProjection extends Module {
  readonly vision_model: CLIPVisionTransformer;
  readonly visual_projection: Linear;
  /** The checkpoint's config.json, defaults filled in. */
  readonly config: VisionConfig;

  /** @param json the checkpoint's config.json, of this tower or of a whole CLIP model */
  constructor(json: unknown) {
    super();
    this.config = visionConfig(json);
    this.vision_model = new CLIPVisionTransformer(this.config);
    this.visual_projection = new Linear(this.config.hidden_size, this.config.projection_dim, { bias: false });
  }

  /**
   * @param pixels [n, image_size, image_size, 3], CLIP's preprocessing done
   * @returns `imageEmbeds` [n, projection_dim], not normalized
   */
  forward(pixels: Tensor): { imageEmbeds: Tensor } {
    const { image_size: side, num_channels: channels } = this.config;
    const [, h, w, c] = pixels.shape;
    if (pixels.shape.length !== 4 || h !== side || w !== side || c !== channels)
      throw new ShapeError(
        "CLIPVisionModelWithProjection",
        `pixels are ${show(pixels.shape)}, [n, ${side}, ${side}, ${channels}] is needed`,
      );
    return {
      imageEmbeds: chain(pixels, [(x) => this.vision_model.forward(x), (x) => this.visual_projection.forward(x)]),
    };
  }
}
