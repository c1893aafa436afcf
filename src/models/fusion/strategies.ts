import { InputError } from "../../util/errors.ts";
import { Concat, selfOnly } from "../unet/fusion.ts";
import { crossAttention } from "./cross_attention.ts";
import { masked } from "./masked.ts";
import { spatial } from "./spatial.ts";
import type { FusionStrategy } from "./strategy.ts";
import { weighted } from "./weighted.ts";

/** OOTDiffusion's own, and the default: see `Concat`. */
export const concatenation: FusionStrategy = {
  name: "concat",
  fuse: ({ garments }) => new Concat(...garments.map(({ tokens }) => tokens)),
};

/** The garment is known by its embedding in the prompt alone: what the fusion is worth is the difference to this. */
export const noFusion: FusionStrategy = { name: "none", reads: "nothing", fuse: () => selfOnly };

type Maker = (x: number | undefined, name: string) => FusionStrategy;

/** Strategies that ship, by name; those that take a number take it after a colon. */
const SHIPPED: Readonly<Record<string, FusionStrategy | Maker>> = {
  concat: concatenation,
  none: noFusion,
  weighted: (x = 0.5, name) => weighted(x, name),
  "cross-attention": (x = 1, name) => crossAttention(x, name) as FusionStrategy,
  spatial,
  masked,
};

/** Names that `fusionNamed` knows. */
export const FUSION_NAMES = Object.keys(SHIPPED);

/**
 * A strategy that ships: `concat`, `none`, `weighted:0.5`, `cross-attention:1`, `spatial`, `masked`.
 * @throws InputError for another name
 */
export function fusionNamed(text: string): FusionStrategy {
  const [name = "", number] = text.split(":");
  const found = Object.hasOwn(SHIPPED, name) ? SHIPPED[name]! : undefined;
  const value = number === undefined ? undefined : Number(number);
  const takes = typeof found === "function";
  if (!found || (number !== undefined && (!takes || number.trim() === "" || !Number.isFinite(value))))
    throw new InputError("fusion", `"${text}" is none of ${FUSION_NAMES.join(", ")} (weighted and cross-attention take a number: weighted:0.5)`); // prettier-ignore
  return takes ? found(value, text) : found;
}
