import { InputError } from "../util/errors.ts";
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

/**
 * The labels that a picture's colours stand for; undefined when one is no label's. Greys below 19 are labels too: label
 * maps saved as colour pictures.
 */
export function labelsOfColours({ width, height, data: rgb }: RgbImage): GrayImage | undefined {
  const known = new Map(PALETTE.map(([r, g, b], label) => [(r << 16) | (g << 8) | b, label]));
  for (let label = 0; label < LABELS; label++) known.set(label * 0x010101, label);
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++) {
    const label = known.get((rgb[3 * i]! << 16) | (rgb[3 * i + 1]! << 8) | rgb[3 * i + 2]!);
    if (label === undefined) return undefined;
    data[i] = label;
  }
  return { width, height, data };
}

/** The label map of a file, if it is one. @throws InputError in one line that names the file */
export function checkLabelNumbers(name: string, labels: GrayImage | undefined): GrayImage {
  if (!labels) throw new InputError(name, `is no label map: its colours are not those of labels 0 to ${LABELS - 1}`);
  const { width, data } = labels;
  const wrong = data.findIndex((label) => label >= LABELS);
  if (wrong < 0) return labels;
  const place = `(${wrong % width}, ${Math.floor(wrong / width)})`;
  throw new InputError(name, `is no label map: ${data[wrong]} at ${place}, labels are 0 to ${LABELS - 1}`);
}
