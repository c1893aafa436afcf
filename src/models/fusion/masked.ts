import { add, cast, clamp, div, interpolate, mul } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { InputError } from "../../util/errors.ts";
import { batchPart } from "../unet/conditioning.ts";
import { Concat, selfOnly, type FusedBlock, type Fusion, type FusionPass, type TokenGrid } from "../unet/fusion.ts";
import { spread } from "../unet/garment_keys.ts";
import type { FusionInputs, FusionStrategy } from "./strategy.ts";

/**
 * Garment tokens reach only the queries inside their garment's region: a token outside all of them gets what the plain
 * network gives, a token inside one what the concatenation with that garment gives, and where regions lie over each
 * other, or a coarse block's token lies on an edge, the mean by shares.
 */
class Masked implements Fusion {
  readonly #garments: readonly Concat[];
  #regions: readonly Tensor[] = [];

  constructor({ garments }: FusionInputs) {
    this.#garments = garments.map(({ tokens }) => new Concat(tokens));
  }

  prepare(blocks: readonly FusedBlock[]): void {
    for (const garment of this.#garments) garment.prepare(blocks);
  }

  before({ regions }: FusionPass): void {
    if (regions.length !== this.#garments.length)
      throw new InputError("masked", `${regions.length} regions for ${this.#garments.length} garments`);
    this.#regions = regions;
  }

  part(index: number, count: number): Fusion {
    const garments = this.#garments.map((garment) => garment.part(index, count));
    const regions = this.#regions.map((region) => batchPart(region, index, count));
    return { selfAttention: (block, tokens, grid) => blend(garments, regions, block, tokens, grid) };
  }

  selfAttention(block: FusedBlock, tokens: Tensor, grid: TokenGrid): Tensor {
    return blend(this.#garments, this.#regions, block, tokens, grid);
  }

  dispose(): void {
    for (const garment of this.#garments) garment.dispose();
  }
}

/** Σ share · with that garment + (1 − Σ share) · without any. */
function blend(
  garments: readonly Fusion[],
  regions: readonly Tensor[],
  block: FusedBlock,
  tokens: Tensor,
  grid: TokenGrid,
): Tensor {
  const inside = regions.map((region) => tokensIn(region, tokens, grid));
  const all = inside.reduce(add);
  const most = garments.length > 1 ? clamp(all, 1, garments.length) : undefined; // where regions overlap
  const share = (x: Tensor) => (most ? div(x, most) : x);
  const rest = add(mul(share(all), -1), 1);
  let sum = mul(selfOnly.selfAttention(block, tokens), rest);
  for (const [i, garment] of garments.entries())
    sum = add(sum, mul(garment.selfAttention(block, tokens, grid), share(inside[i]!)));
  return sum;
}

/** How much of each token lies in a region: [1 or m, h, w, 1] → [1 or n, t, 1]. */
function tokensIn(region: Tensor, tokens: Tensor, { height, width }: TokenGrid): Tensor {
  const sized = interpolate(region, { size: [height, width], mode: "bilinear" });
  const shares = cast(sized, tokens.dtype).reshape(region.shape[0]!, height * width, 1);
  return shares.shape[0] === 1 ? shares : spread(shares, tokens.shape[0]!);
}

/** The concatenation, inside each garment's region alone. */
export const masked: FusionStrategy = { name: "masked", fuse: (inputs) => new Masked(inputs) };
