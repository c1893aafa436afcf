import { LABEL } from "../../../vision/labels.ts";
import type { Category } from "../../../vision/agnostic.ts";
import type { Stream } from "../random.ts";
import { clothColour } from "./colour.ts";
import { drawTexture, TEXTURES, type Texture, type TextureKind } from "./texture.ts";

export type GarmentKind = "top" | "trousers" | "skirt" | "dress";
export type Sleeve = "none" | "short" | "long";
export type Neckline = "round" | "deep" | "v" | "boat" | "high";

/** How a garment is cut. Heights are in spines below the neck; widths by the body's. */
export interface Cut {
  readonly sleeve: Sleeve;
  readonly neckline: Neckline;
  /** Where tops, skirts and dresses end. */
  readonly hem: number;
  /** How much wider than the body. */
  readonly fit: number;
  /** How much wider at the hem, or at the ends of the legs. */
  readonly flare: number;
  /** How much of the legs trousers cover, 0…1. */
  readonly legs: number;
}

export interface Garment {
  readonly kind: GarmentKind;
  readonly cut: Cut;
  readonly texture: Texture;
  /** Collar, cuffs and waistband in a colour of their own. */
  readonly trim: boolean;
  /** A row of buttons down the front. */
  readonly buttons: boolean;
}

/** Where trousers and skirts begin, in spines below the neck. */
export const WAIST = 0.76;

export const GARMENT_LABELS: Readonly<Record<GarmentKind, number>> = {
  top: LABEL.upper,
  trousers: LABEL.pants,
  skirt: LABEL.skirt,
  dress: LABEL.dress,
};

/** What prints, halves and sleeves would look odd on. */
const CLOTHS: readonly TextureKind[] = ["plain", "stripesAcross", "stripesDown", "checks", "plaid", "dots"];

const SLEEVES = { none: 1, short: 1.4, long: 1.4 };
const NECKLINES = { round: 3, deep: 1, v: 2, boat: 1, high: 1 };

function drawCut(stream: Stream, kind: GarmentKind, most: Cut | undefined): Cut {
  /** Not beyond the given cut. */
  const upTo = ([low, high]: readonly [number, number], limit: number | undefined) => {
    const value = stream.between(low, high);
    return limit === undefined ? value : Math.min(value, limit);
  };
  const HEM = { top: [0.98, 1.15], trousers: [1, 1], skirt: [1.42, 2.2], dress: [1.46, 2.3] } as const;
  const FLARE = { top: [1, 1.12], trousers: [0.95, 1.7], skirt: [1.05, 1.75], dress: [1.05, 1.75] } as const;
  return {
    sleeve: stream.weighted(SLEEVES),
    neckline: stream.weighted(NECKLINES),
    hem: upTo(HEM[kind], most?.hem),
    fit: upTo([1, 1.13], most?.fit),
    flare: upTo(FLARE[kind], most?.flare),
    legs: upTo(
      stream.pick([
        [0.3, 0.46],
        [0.75, 0.88],
        [0.96, 1],
        [0.96, 1],
      ] as const),
      most?.legs,
    ),
  };
}

/** @param most - the garment may not reach further down or out than this one */
export function drawGarment(stream: Stream, kind: GarmentKind, most?: Cut): Garment {
  const isTop = kind === "top" || kind === "dress";
  return {
    kind,
    cut: drawCut(stream, kind, most),
    texture: drawTexture(stream, 62, isTop ? TEXTURES : CLOTHS),
    trim: stream.chance(0.35),
    buttons: stream.chance(isTop ? 0.15 : 0.1),
  };
}

/** Something to wear with a garment of another kind: mostly plain, or it would draw the eye. */
export function drawCompanion(stream: Stream, kind: GarmentKind): Garment {
  const garment = drawGarment(stream, kind);
  if (stream.chance(0.3)) return garment;
  const [, second, third] = garment.texture.colours;
  const colours = [clothColour(stream), second, third] as const;
  return { ...garment, texture: { ...garment.texture, kind: "plain", colours } };
}

/** The kind of a category's garment. */
export function kindOf(stream: Stream, category: Category): GarmentKind {
  if (category === "upperbody") return "top";
  if (category === "dress") return "dress";
  return stream.pick(["trousers", "trousers", "skirt"]);
}
