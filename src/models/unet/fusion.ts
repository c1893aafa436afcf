import type { Attention, KeyValues } from "../../nn/attention.ts";
import type { LayerNorm } from "../../nn/norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { GarmentKeyValues, type GarmentTokens } from "./garment_keys.ts";

/** What a fusion sees of a transformer block. */
export interface FusedBlock {
  /** Position among the UNet's transformer blocks, in the order in which they run. */
  readonly index: number;
  /** [n, t, c] → the same shape; works on each token alone. */
  readonly norm1: Pick<LayerNorm, "forward">;
  /** The block's self-attention, its parts open. */
  readonly attn1: Pick<Attention, "heads" | "to_q" | "to_k" | "to_v" | "to_out" | "keysValues" | "forward">;
}

/** How a block's tokens lie on the picture: t = height · width, row by row. */
export interface TokenGrid {
  /** Rows of tokens. */
  readonly height: number;
  /** Tokens of a row. */
  readonly width: number;
}

/** One pass of the network, as a fusion hears of it before it runs. */
export interface FusionPass {
  /** Training timesteps, 0 … 999: one for all pictures of the batch, or one for each. */
  readonly timesteps: readonly number[];
  /** Πα of each of those: the share of the signal in the sample's variance (Ho et al. 2020, arXiv 2006.11239, eq. 4). */
  readonly alphas: readonly number[];
  /** Where each garment may go, in the garments' order: 1 inside, 0 outside, [1 or n, h, w, 1] at the latents' size. */
  readonly regions: readonly Tensor[];
}

/**
 * How a garment enters the network: what every transformer block's self-attention does, and, where a strategy needs
 * it, what goes into the network and comes out. One object is one strategy at work on one garment (or several at once).
 *
 * Memory: every method but `before` runs inside the network's memory scopes. Tensors that must outlive the call are
 * `keep()`-ed, and disposed of in `dispose`. In a try-on the network is recorded at the first step and replayed at the
 * others: what JavaScript decides, it decides once. What changes from step to step is written by `before` into tensors
 * that stay (`Tensor.assign`).
 */
export interface Fusion {
  /**
   * `tokens` [n, t, c] before norm1 → the attention's output (through to_out) plus those tokens, of the same shape.
   * n is samples times halves: with guidance the first half of the batch has the garment, the second has not.
   */
  selfAttention(block: FusedBlock, tokens: Tensor, grid: TokenGrid): Tensor;
  /** The same for one of `count` equal parts of the batch, where parts differ. */
  part?(index: number, count: number): Fusion;
  /** Called before each pass of the network, and before it is recorded; never inside a recording. */
  before?(pass: FusionPass): void;
  /** The network's input [n, h, w, in_channels] (noisy latents, then the masked person's) → one of any height and width. */
  input?(sample: Tensor): Tensor;
  /** The network's output for that input → [n, h, w, out_channels] as if `input` had changed nothing. */
  output?(predicted: Tensor): Tensor;
  /** Computes what depends on the garment alone, after which the garment's tensors are not read any more. */
  prepare?(blocks: readonly FusedBlock[]): void;
  /** Whether the network is to be run anew at each step rather than recorded: slower, but JavaScript sees every pass. */
  readonly live?: boolean;
  /** Frees what was kept. */
  dispose?(): void;
}

/** The plain network: tokens read themselves. */
export const selfOnly = {
  selfAttention: ({ norm1, attn1 }: FusedBlock, tokens: Tensor) =>
    attn1.forward(norm1.forward(tokens), { residual: tokens }),
} satisfies Fusion;

/** The plain network, remembering what every block took. */
export class Capture implements Fusion {
  /** [n, t, c] of each block that ran, at its index. The capture's own until `dispose()`. */
  readonly tokens: Tensor[] = [];

  selfAttention(block: FusedBlock, tokens: Tensor): Tensor {
    this.tokens[block.index] = tokens.keep();
    return selfOnly.selfAttention(block, tokens);
  }

  dispose(): void {
    for (const tokens of this.tokens) tokens?.dispose();
    this.tokens.length = 0;
  }
}

/**
 * OOTDiffusion's outfitting fusion (Xu et al. 2024, arXiv 2403.01779, section 3.2): tokens read themselves and the
 * garment's tokens at the same block. The published code runs attention over [own; garment] with queries from both
 * and drops the garment's half of the result; with the block's own queries alone the kept half is the same. Several
 * garments stand one after the other, and every token reads all of them.
 */
export class Concat implements Fusion {
  readonly #keysValues: GarmentKeyValues;

  /**
   * @param garments the garment UNet's tokens before norm1 at each block, [m, t', c] (`features`), of one garment or
   * more. They stay the caller's, and are read until every block ran once. In a batch of n each of the m serves n / m
   * neighbours: two guidance halves serve two halves of any number of samples.
   */
  constructor(...garments: readonly GarmentTokens[]) {
    this.#keysValues = new GarmentKeyValues("Concat", garments);
  }

  /** Computes every block's keys and values now: the garment's tokens are not read any more. */
  prepare(blocks: readonly FusedBlock[]): void {
    for (const block of blocks) this.#keysValues.of(block);
  }

  part(index: number, count: number): Fusion {
    return { selfAttention: (block, tokens) => read(block, tokens, this.#keysValues.part(block, index, count)) };
  }

  /** `tokens` [n, t, c] → the same shape. */
  selfAttention(block: FusedBlock, tokens: Tensor): Tensor {
    return read(block, tokens, this.#keysValues.for(block, tokens));
  }

  /** Frees the keys and values. */
  dispose(): void {
    this.#keysValues.dispose();
  }
}

const read = ({ norm1, attn1 }: FusedBlock, tokens: Tensor, more: KeyValues): Tensor =>
  attn1.forward(norm1.forward(tokens), { more, residual: tokens });
