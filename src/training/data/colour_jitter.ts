import type { RgbImage } from "../../vision/image.ts";
import type { Stream } from "./random.ts";

/** Torchvision's ColorJitter: factors from 1 - x to 1 + x, hue by up to so many turns either way. */
export interface ColourJitter {
  /** Default: 0.5. */
  readonly brightness?: number;
  /** Default: 0.3. */
  readonly contrast?: number;
  /** Default: 0.5. */
  readonly saturation?: number;
  /** At most 0.5, the default. */
  readonly hue?: number;
}

/**
 * Draws a change of colours; every picture that it is applied to changes alike. Contrast is about mid-grey, not about a
 * picture's own mean as in torchvision, by which person and garment would change differently.
 */
export function jitterColours(stream: Stream, jitter: ColourJitter = {}): (image: RgbImage) => RgbImage {
  const { brightness = 0.5, contrast = 0.3, saturation = 0.5, hue = 0.5 } = jitter;
  const factor = (limit: number) => stream.between(Math.max(0, 1 - limit), 1 + limit);
  const [light, depth, colour] = [factor(brightness), factor(contrast), factor(saturation)];
  const turn = stream.between(-hue, hue);
  return ({ width, height, data }) => {
    const out = new Uint8ClampedArray(data.length);
    const pixel = new Float64Array(3);
    for (let at = 0; at < data.length; at += 3) {
      for (let c = 0; c < 3; c++) pixel[c] = clip((clip(data[at + c]! * light) - 127.5) * depth + 127.5);
      const grey = 0.2989 * pixel[0]! + 0.587 * pixel[1]! + 0.114 * pixel[2]!;
      for (let c = 0; c < 3; c++) pixel[c] = clip(grey + (pixel[c]! - grey) * colour);
      turnHue(pixel, turn);
      for (let c = 0; c < 3; c++) out[at + c] = pixel[c]!;
    }
    return { width, height, data: new Uint8Array(out.buffer) };
  };
}

const clip = (value: number) => Math.min(255, Math.max(0, value));

/** The hue of HSV turned, value and saturation kept (A. R. Smith 1978). */
function turnHue(pixel: Float64Array, turn: number): void {
  const r = pixel[0]!;
  const g = pixel[1]!;
  const b = pixel[2]!;
  const most = Math.max(r, g, b);
  const range = most - Math.min(r, g, b);
  if (range === 0) return;
  const sixth = most === r ? (g - b) / range : most === g ? 2 + (b - r) / range : 4 + (r - g) / range;
  const hue = sixth + 6 * turn + 12;
  for (let c = 0; c < 3; c++) {
    const k = (hue + 5 - 2 * c) % 6;
    pixel[c] = most - range * Math.max(0, Math.min(k, 4 - k, 1));
  }
}
