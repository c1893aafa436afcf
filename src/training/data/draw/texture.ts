import type { Stream } from "../random.ts";
import { clothColour, contrasting } from "./colour.ts";
import { PRINTS, type PrintName } from "./prints.ts";
import type { Rgb } from "./raster.ts";

/** Which part of a garment: a print is on the torso alone, a sleeve may have its own colour. */
export type Part = "torso" | "right" | "left";

const KINDS = {
  plain: 3,
  stripesAcross: 2,
  stripesDown: 2,
  checks: 1.5,
  plaid: 1,
  dots: 2,
  print: 3,
  halves: 1,
  sides: 0.7,
  sleeves: 1,
} as const;

export type TextureKind = keyof typeof KINDS;

/** A cloth: what it looks like at each place of the garment, in frame units of the flat garment. */
export interface Texture {
  readonly kind: TextureKind;
  readonly colours: readonly [Rgb, Rgb, Rgb];
  /** Frame units from one stripe, check or dot to the next. */
  readonly period: number;
  /** The second colour's share of a period. */
  readonly share: number;
  readonly print: PrintName;
  readonly printSize: number;
  /** Where an upper and a lower half meet, and where a print lies, below the neck. */
  readonly split: number;
}

/** @param centre - how far below the neck the middle of the garment lies */
export function drawTexture(stream: Stream, centre: number, kinds: readonly TextureKind[]): Texture {
  const weights = Object.fromEntries(kinds.map((kind) => [kind, KINDS[kind]])) as Record<TextureKind, number>;
  const kind = stream.weighted(weights);
  const first = clothColour(stream);
  const second = contrasting(stream, first);
  return {
    kind,
    colours: [first, second, contrasting(stream, second)],
    period: stream.between(20, 40),
    share: stream.between(0.35, 0.6),
    print: stream.pick(Object.keys(PRINTS) as PrintName[]),
    printSize: stream.between(17, 25),
    split: centre + stream.between(-14, 14),
  };
}

export const TEXTURES = Object.keys(KINDS) as TextureKind[];

/** The colour at (u, v), u across from the middle and v down from the neck, over `width` units around it. */
export type Sampler = (u: number, v: number, out: Float32Array) => void;

/** The share of [x - width / 2, x + width / 2] in the first `share` of each period of 1: stripes, box-filtered. */
function stripe(x: number, share: number, width: number): number {
  const covered = (at: number) => Math.floor(at) * share + Math.min(share, at - Math.floor(at));
  return (covered(x + width / 2) - covered(x - width / 2)) / width;
}

/** How much of a pixel lies inside, by the distance to the edge (negative inside). */
const inside = (distance: number, width: number) => Math.min(1, Math.max(0, 0.5 - distance / width));

/** How much of the second colour is seen, and of the third over both. */
type Pattern = (u: number, v: number, width: number) => number;

function patternOf({ kind, period, share, print, printSize, split }: Texture, part: Part): Pattern {
  const across: Pattern = (_, v, width) => stripe(v / period, share, width / period);
  const down: Pattern = (u, _, width) => stripe(u / period + share / 2, share, width / period);
  switch (kind) {
    case "plain":
      return () => 0;
    case "stripesAcross":
      return across;
    case "stripesDown":
      return down;
    case "checks":
      return (u, v, width) => (across(u, v, width) + down(u, v, width)) / 2;
    case "plaid":
      return (u, v, width) => 0.55 * across(u, v, width) + 0.3 * down(u, v, width);
    case "dots":
      return (u, v, width) => {
        const row = Math.round(v / period);
        const shift = (row & 1) * 0.5;
        const column = Math.round(u / period - shift) + shift;
        const x = u - column * period;
        const y = v - row * period;
        return inside(Math.sqrt(x * x + y * y) - 0.6 * share * period, width);
      };
    case "print":
      if (part !== "torso") return () => 0;
      return (u, v, width) => inside(PRINTS[print](u / printSize, (v - split) / printSize) * printSize, width);
    case "halves":
      return part === "torso" ? (_, v, width) => inside(split - v, width) : () => 0;
    case "sides":
      if (part !== "torso") return () => (part === "left" ? 1 : 0);
      return (u, _, width) => inside(-u, width);
    case "sleeves":
      return () => (part === "torso" ? 0 : 1);
  }
}

/** @param width - units that a pixel spans */
export function samplerOf(texture: Texture, part: Part, width: number): Sampler {
  const [first, second, third] = texture.colours;
  const pattern = patternOf(texture, part);
  const line: Pattern =
    texture.kind === "plaid"
      ? (u, v, w) =>
          0.7 *
          Math.max(
            stripe(v / texture.period + 0.3, 0.12, w / texture.period),
            stripe(u / texture.period + 0.3, 0.12, w / texture.period),
          )
      : () => 0;
  return (u, v, out) => {
    const share = pattern(u, v, width);
    const over = line(u, v, width);
    for (let c = 0; c < 3; c++) {
      const below = first[c]! + share * (second[c]! - first[c]!);
      out[c] = below + over * (third[c]! - below);
    }
  };
}
