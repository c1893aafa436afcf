import { ShapeError } from "../util/errors.ts";
import { distance, medianColour, type Background } from "./border.ts";
import { checkSize, placeImage, placeWindow, type Placement, type Size } from "./fit.ts";
import type { RgbImage } from "./image.ts";
import type { Box } from "./resize.ts";

/** A plain background, or why there is none. */
export type Plainness =
  { readonly isPlain: true; readonly background: Background } | { readonly isPlain: false; readonly spread: number };

/** How far from the median colour 4 of 5 pixels at a plain picture's border lie at most. */
const PLAIN = 16;

/**
 * Looks at the picture's outermost pixels (a hundredth of its shorter side deep). They are a plain background when at
 * least 80 % of them are within 16 levels of their median colour, so a garment may leave the picture, but not on all
 * sides. `spread` is what 16 is compared with.
 */
export function findBackground(image: RgbImage): Plainness {
  const { data } = image;
  const pixels = ring(image);
  const colour = medianColour(data, pixels);
  const offs = Uint8Array.from(pixels, (at) => distance(data, at, colour)).sort();
  const spread = offs[Math.min(offs.length - 1, Math.floor(offs.length * 0.8))]!;
  if (spread > PLAIN) return { isPlain: false, spread };
  return { isPlain: true, background: { colour, tolerance: Math.max(6, 2 * spread + 4) } }; // white on white is common
}

/** Where the pixels at the border begin, in bytes. */
function ring({ width, height }: Size): number[] {
  const depth = Math.max(1, Math.round(Math.min(width, height) / 100));
  const places: number[] = [];
  for (let y = 0; y < height; y++) {
    const isEnd = y < depth || y >= height - depth;
    for (let x = 0; x < width; x++) {
      if (!isEnd && x === depth) x = Math.max(x, width - depth);
      places.push((y * width + x) * 3);
    }
  }
  return places;
}

/**
 * The box of what is not background. A row or column belongs to it when more than 0.2 % of its pixels (and more than
 * one, from 500 pixels on) differ, so that specks of dust do not count.
 * @returns undefined when there is nothing else
 */
export function foregroundBox({ width, height, data }: RgbImage, { colour, tolerance }: Background): Box | undefined {
  const [columns, rows] = [new Uint32Array(width), new Uint32Array(height)];
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at += 3)
      if (distance(data, at, colour) > tolerance) {
        columns[x]!++;
        rows[y]!++;
      }
  const across = extent(columns, height);
  const down = extent(rows, width);
  return across && down && [across[0], down[0], across[1], down[1]];
}

function extent(counts: Uint32Array, length: number): readonly [number, number] | undefined {
  const isPart = (count: number) => count > Math.floor(length / 500);
  const first = counts.findIndex(isPart);
  return first < 0 ? undefined : [first, counts.findLastIndex(isPart) + 1];
}

export interface TrimOptions extends Size {
  /** Left free around the garment, as a share of its longer side. Default 0.05. */
  readonly margin?: number | undefined;
}

export type Trimmed =
  | {
      readonly isTrimmed: true;
      /** width x height. */
      readonly image: RgbImage;
      readonly place: Placement;
      /** The garment in the photo's pixels. */
      readonly box: Box;
    }
  | {
      readonly isTrimmed: false;
      /** The photo itself. */
      readonly image: RgbImage;
      /** Why, as part of a sentence. */
      readonly reason: string;
    };

/**
 * A garment's photo on a plain background cut to the garment with a margin, at a size and in its shape: as large as it
 * can be, in the middle. What the photo lacks is its background carried on. A photo without a plain border is returned
 * as it is, with the reason.
 * @throws ShapeError for a negative margin or a size that is none
 */
export function trimGarment(image: RgbImage, { width, height, margin = 0.05 }: TrimOptions): Trimmed {
  checkSize("trimGarment", image, image, 3);
  if (!(margin >= 0 && margin <= 1)) throw new ShapeError("trimGarment", `a margin of ${margin} of the garment`);
  if (![width, height].every((side) => Number.isInteger(side) && side > 0))
    throw new ShapeError("trimGarment", `${width}x${height} is not a size`);
  const found = findBackground(image);
  if (!found.isPlain)
    return {
      isTrimmed: false,
      image,
      reason: `its background is not plain: at the border colours differ by ${found.spread} levels (at most ${PLAIN})`,
    };
  const box = foregroundBox(image, found.background);
  if (!box) return { isTrimmed: false, image, reason: "nothing differs from its background" };
  const [across, down] = [box[2] - box[0], box[3] - box[1]];
  const free = 2 * margin * Math.max(across, down);
  const scale = Math.min(width / (across + free), height / (down + free));
  const [halfWidth, halfHeight] = [width / scale / 2, height / scale / 2];
  const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  const window: Box = [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight];
  const place = placeWindow(image, { width, height }, window);
  return { isTrimmed: true, image: placeImage(image, place, found.background), place, box };
}
