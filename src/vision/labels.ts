import type { GrayImage, RgbImage } from "./image.ts";

/** What a pixel of a label map may be (ATR's classes, and the neck). Left and right are the person's own. */
export const LABEL = {
  background: 0,
  hat: 1,
  hair: 2,
  sunglasses: 3,
  upper: 4,
  skirt: 5,
  pants: 6,
  dress: 7,
  belt: 8,
  leftShoe: 9,
  rightShoe: 10,
  face: 11,
  leftLeg: 12,
  rightLeg: 13,
  leftArm: 14,
  rightArm: 15,
  bag: 16,
  scarf: 17,
  neck: 18,
} as const;

/** Labels are 0 to 18. */
export const LABELS = 19;

/** The usual colours of labels (Pascal VOC's): bit i of a channel's third of the label becomes bit 7 - i of the channel. */
export const PALETTE: readonly (readonly [red: number, green: number, blue: number])[] = Array.from(
  { length: LABELS },
  (_, label) => {
    const channel = (first: number) => {
      let level = 0;
      for (let bit = first, weight = 128; bit < 8; bit += 3, weight >>= 1) if ((label >> bit) & 1) level |= weight;
      return level;
    };
    return [channel(0), channel(1), channel(2)] as const;
  },
);

/** A label map in the usual colours; labels beyond the palette are black. */
export function colouriseLabels({ width, height, data: labels }: GrayImage): RgbImage {
  const data = new Uint8Array(labels.length * 3);
  labels.forEach((label, i) => data.set(PALETTE[label] ?? [0, 0, 0], 3 * i));
  return { width, height, data };
}

/** The pixels that have one of the labels, as a mask. */
export function maskOf({ width, height, data }: GrayImage, labels: readonly number[]): GrayImage {
  const wanted = new Uint8Array(256);
  for (const label of labels) wanted[label] = 255;
  const mask = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) mask[i] = wanted[data[i]!]!;
  return { width, height, data: mask };
}
