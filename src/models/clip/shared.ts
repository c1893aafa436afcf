import { z } from "zod";
import type { Activation } from "../../kernels/activation.ts";
import { chain } from "../../nn/chain.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { LayerNorm } from "../../nn/norm.ts";
import { scaledDotProductAttention } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { positive } from "../config.ts";

const ACTIVATIONS = { quick_gelu: "quickGelu", gelu: "gelu" } as const satisfies Record<string, Activation>;

/** Fields that both towers have, with transformers' defaults but for the sizes, which the tower gives. */
export const towerFields = (defaults: { hidden: number; intermediate: number; heads: number }) => ({
  hidden_size: positive.default(defaults.hidden),
  intermediate_size: positive.default(defaults.intermediate),
  num_attention_heads: positive.default(defaults.heads),
  num_hidden_layers: positive.default(12),
  hidden_act: z.enum(["quick_gelu", "gelu"]).default("quick_gelu"),
  layer_norm_eps: z.number().positive().default(1e-5),
  projection_dim: positive.default(512),
});

export interface TowerConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_attention_heads: number;
  readonly num_hidden_layers: number;
  readonly hidden_act: keyof typeof ACTIVATIONS;
  readonly layer_norm_eps: number;
}

/** Refuses heads that do not divide the channels. */
export function checkHeads(config: TowerConfig, context: z.core.$RefinementCtx): void {
  if (config.hidden_size % config.num_attention_heads === 0) return;
  const message = `${config.hidden_size} channels do not divide into ${config.num_attention_heads} heads`;
  context.addIssue({ code: "custom", path: ["num_attention_heads"], message });
}

/**
 * The configuration of one tower: the object itself, or the part called `tower` of a whole CLIP model's.
 * The old `…_dict` twin, where a file has both, wins as it does in transformers.
 */
export function towerJson(json: unknown, tower: "text_config" | "vision_config"): unknown {
  if (typeof json !== "object" || json === null) return json;
  const parts = [tower, `${tower}_dict`].map((field): unknown => Reflect.get(json, field)).filter(Boolean);
  return parts.length > 0 ? Object.assign({}, ...parts) : json;
}

class CLIPAttention extends Module {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly out_proj: Linear;
  readonly #heads: number;

  constructor({ hidden_size: channels, num_attention_heads: heads }: TowerConfig) {
    super();
    this.q_proj = new Linear(channels, channels);
    this.k_proj = new Linear(channels, channels);
    this.v_proj = new Linear(channels, channels);
    this.out_proj = new Linear(channels, channels);
    this.#heads = heads;
  }

  forward(x: Tensor, { isCausal, residual }: { isCausal: boolean; residual: Tensor }): Tensor {
    const [q, k, v] = [this.q_proj.forward(x), this.k_proj.forward(x), this.v_proj.forward(x)];
    return this.out_proj.forward(scaledDotProductAttention(q, k, v, { heads: this.#heads, isCausal }), { residual });
  }
}

class CLIPMLP extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly #activation: Activation;

  constructor({ hidden_size: channels, intermediate_size: inner, hidden_act: activation }: TowerConfig) {
    super();
    this.fc1 = new Linear(channels, inner);
    this.fc2 = new Linear(inner, channels);
    this.#activation = ACTIVATIONS[activation];
  }

  forward(x: Tensor, { residual }: { residual: Tensor }): Tensor {
    return this.fc2.forward(this.fc1.forward(x, { activation: this.#activation }), { residual });
  }
}

class CLIPEncoderLayer extends Module {
  readonly self_attn: CLIPAttention;
  readonly layer_norm1: LayerNorm;
  readonly mlp: CLIPMLP;
  readonly layer_norm2: LayerNorm;

  constructor(config: TowerConfig) {
    super();
    const { hidden_size: channels, layer_norm_eps: eps } = config;
    this.self_attn = new CLIPAttention(config);
    this.layer_norm1 = new LayerNorm(channels, { eps });
    this.mlp = new CLIPMLP(config);
    this.layer_norm2 = new LayerNorm(channels, { eps });
  }

  forward(x: Tensor, isCausal: boolean): Tensor {
    return chain(x, [
      (h) => this.self_attn.forward(this.layer_norm1.forward(h), { isCausal, residual: h }),
      (h) => this.mlp.forward(this.layer_norm2.forward(h), { residual: h }),
    ]);
  }
}

/** The transformer of either tower (Radford et al. 2021, arXiv 2103.00020). */
export class CLIPEncoder extends Module {
  readonly layers: readonly CLIPEncoderLayer[];

  constructor(config: TowerConfig) {
    super();
    this.layers = Array.from({ length: config.num_hidden_layers }, () => new CLIPEncoderLayer(config));
  }

  /** `x` [n, t, c] → the same shape. */
  forward(x: Tensor, { isCausal = false }: { isCausal?: boolean } = {}): Tensor {
    return chain(
      x,
      this.layers.map((layer) => (h: Tensor) => layer.forward(h, isCausal)),
    );
  }
}
