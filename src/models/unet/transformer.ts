import { Attention } from "../../nn/attention.ts";
import { chain } from "../../nn/chain.ts";
import { Conv2d } from "../../nn/conv2d.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { GroupNorm, LayerNorm } from "../../nn/norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Conditioning } from "./conditioning.ts";
import { DTypeError, ShapeError } from "../../util/errors.ts";
import { sameShape, show } from "../../util/shape.ts";
import type { Fusion, TokenGrid } from "./fusion.ts";

/** A projection to values and gates: value · gelu(gate) (Shazeer 2020, arXiv 2002.05202). */
export class GEGLU extends Module {
  readonly proj: Linear;

  constructor(inputs: number, outputs: number) {
    super();
    this.proj = new Linear(inputs, 2 * outputs);
  }

  /** [n, t, in] → [n, t, out]. */
  forward(x: Tensor): Tensor {
    return this.proj.forward(x, { geglu: true });
  }
}

export class FeedForward extends Module {
  readonly net: readonly [GEGLU, undefined, Linear]; // net.1 is dropout: no weights

  constructor(channels: number) {
    super();
    this.net = [new GEGLU(channels, 4 * channels), undefined, new Linear(4 * channels, channels)];
  }

  /** [n, t, c] → the same shape. */
  forward(x: Tensor, { residual }: { residual?: Tensor } = {}): Tensor {
    return chain(x, [(h) => this.net[0].forward(h), (h) => this.net[2].forward(h, residual ? { residual } : {})]);
  }
}

export interface TransformerOptions {
  readonly heads: number;
  /** Channels of the text. */
  readonly context: number;
  /** Transformer blocks. */
  readonly layers: number;
  readonly groups: number;
  readonly useLinearProjection: boolean;
}

/** Self-attention, cross-attention to the text, feed-forward. What the self-attention reads is the fusion's choice. */
export class BasicTransformerBlock extends Module {
  readonly norm1: LayerNorm;
  readonly attn1: Attention;
  readonly norm2: LayerNorm;
  readonly attn2: Attention;
  readonly norm3: LayerNorm;
  readonly ff: FeedForward;
  /** Position among the transformer blocks of its UNet, in the order in which they run. */
  index = 0;

  constructor(channels: number, { heads, context }: Pick<TransformerOptions, "heads" | "context">) {
    super();
    this.norm1 = new LayerNorm(channels);
    this.attn1 = new Attention(channels, { heads });
    this.norm2 = new LayerNorm(channels);
    this.attn2 = new Attention(channels, { heads, context });
    this.norm3 = new LayerNorm(channels);
    this.ff = new FeedForward(channels);
  }

  /**
   * `tokens` [n, t, c], which lie on `grid` → the same shape.
   * @throws ShapeError, DTypeError when the fusion gives another shape or type
   */
  forward(tokens: Tensor, { text, fusion }: Conditioning, grid: TokenGrid): Tensor {
    return chain(tokens, [
      (x) => fusedTokens(fusion, this, x, grid),
      (x) => this.attn2.forward(this.norm2.forward(x), { keysValues: text.of(this), residual: x }),
      (x) => this.ff.forward(this.norm3.forward(x), { residual: x }),
    ]);
  }
}

function fusedTokens(fusion: Fusion, block: BasicTransformerBlock, tokens: Tensor, grid: TokenGrid): Tensor {
  const fused = fusion.selfAttention(block, tokens, grid) as Tensor | undefined; // anybody may write a fusion
  if (fused && sameShape(fused.shape, tokens.shape)) {
    if (fused.dtype === tokens.dtype) return fused;
    throw new DTypeError("fusion", `selfAttention gave ${fused.dtype} for tokens in ${tokens.dtype}`);
  }
  const gave = fused ? show(fused.shape) : "nothing";
  throw new ShapeError("fusion", `selfAttention gave ${gave} for tokens ${show(tokens.shape)}`);
}

/** Transformer blocks over the pixels of an image. */
export class Transformer2DModel extends Module {
  readonly norm: GroupNorm;
  readonly proj_in: Linear | Conv2d;
  readonly transformer_blocks: readonly BasicTransformerBlock[];
  readonly proj_out: Linear | Conv2d;

  constructor(channels: number, { layers, groups, useLinearProjection, ...options }: TransformerOptions) {
    super();
    const projection = () => (useLinearProjection ? new Linear(channels, channels) : new Conv2d(channels, channels, 1));
    this.norm = new GroupNorm(groups, channels, { eps: 1e-6 });
    this.proj_in = projection();
    this.transformer_blocks = Array.from({ length: layers }, () => new BasicTransformerBlock(channels, options));
    this.proj_out = projection();
  }

  /** `x` [n, h, w, c] → the same shape. */
  forward(x: Tensor, conditioning: Conditioning): Tensor {
    return chain(x, [
      (image) => this.#tokens(image),
      ...this.transformer_blocks.map((block) => (tokens: Tensor) => block.forward(tokens, conditioning, gridOf(x))),
      (tokens) => this.proj_out.forward(tokens.reshape(...x.shape), { residual: x }),
    ]);
  }

  /** Runs as far as the tokens that the last block takes, and returns them [n, h·w, c]. */
  features(x: Tensor, conditioning: Conditioning): Tensor {
    const before = this.transformer_blocks.slice(0, -1);
    return chain(x, [
      (image) => this.#tokens(image),
      ...before.map((block) => (tokens: Tensor) => block.forward(tokens, conditioning, gridOf(x))),
    ]);
  }

  /** [n, h, w, c] → [n, h·w, c]. */
  #tokens(x: Tensor): Tensor {
    const [n = 0, h = 0, w = 0, c = 0] = x.shape;
    return this.proj_in.forward(this.norm.forward(x)).reshape(n, h * w, c);
  }
}

/** Of an image [n, h, w, c]. */
const gridOf = ({ shape: [, height = 0, width = 0] }: Tensor): TokenGrid => ({ height, width });
