import type { Stream } from "../random.ts";
import type { Rgb } from "./raster.ts";
import { lerp } from "./shapes.ts";

/** Hue in turns, saturation and lightness 0…1 (Joblove and Greenberg 1978). */
export function hsl(hue: number, saturation: number, lightness: number): Rgb {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  const channel = (offset: number) => {
    const k = (((offset + 12 * hue) % 12) + 12) % 12;
    return lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  return [channel(0), channel(8), channel(4)];
}

export const mix = (a: Rgb, b: Rgb, t: number): Rgb => [lerp(a[0], b[0], t), lerp(a[1], b[1], t), lerp(a[2], b[2], t)];
export const darker = (colour: Rgb, by: number): Rgb => mix(colour, [0.04, 0.03, 0.06], by);
export const lighter = (colour: Rgb, by: number): Rgb => mix(colour, [1, 1, 1], by);

const hex = (code: number): Rgb => [(code >> 16) / 255, ((code >> 8) & 255) / 255, (code & 255) / 255];

/** From fair to dark. */
const SKIN = [0xf8dcc8, 0xf0c8a8, 0xe3b08a, 0xd09a70, 0xb57d55, 0x96623f, 0x754a2f, 0x573523].map(hex);
const HAIR = [0x17120f, 0x2b1d14, 0x4a2f1c, 0x6b4526, 0x94653a, 0xc69a5b, 0xe2c58a, 0x8c3b1f, 0x9b9a98, 0xd8d6d2].map(
  hex,
);
/** Cloth without a hue, and what comes near it. */
const NEUTRAL = [0xf2f0ec, 0x23242a, 0x7d8087, 0xc9c3b6, 0x1f2f55, 0x8a7a63, 0x4b4f58].map(hex);

export function skinColour(stream: Stream): Rgb {
  const at = stream.between(0, SKIN.length - 1.001);
  const tone = Math.floor(at);
  return mix(SKIN[tone]!, SKIN[tone + 1]!, at - tone);
}

export const hairColour = (stream: Stream): Rgb =>
  stream.chance(0.08)
    ? hsl(stream.uniform(), 0.45, 0.45)
    : mix(stream.pick(HAIR), hsl(0.07, 0.3, stream.between(0.1, 0.6)), 0.15);

/** Any hue, neither black nor glaring; now and then a neutral one. */
export const clothColour = (stream: Stream): Rgb =>
  stream.chance(0.2)
    ? stream.pick(NEUTRAL)
    : hsl(stream.uniform(), stream.between(0.3, 0.85), stream.between(0.27, 0.72));

const difference = (a: Rgb, b: Rgb) =>
  0.3 * Math.abs(a[0] - b[0]) + 0.5 * Math.abs(a[1] - b[1]) + 0.2 * Math.abs(a[2] - b[2]);

/** A cloth's colour that can be told from another. */
export function contrasting(stream: Stream, other: Rgb): Rgb {
  for (let tries = 0; tries < 12; tries++) {
    const colour = clothColour(stream);
    if (difference(colour, other) > 0.22) return colour;
  }
  return difference(other, [1, 1, 1]) > 0.4 ? [0.95, 0.94, 0.92] : [0.13, 0.14, 0.18];
}
