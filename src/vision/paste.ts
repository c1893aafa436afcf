import { ShapeError } from "../util/errors.ts";
import { checkSize, unfitMask, type Placement } from "./fit.ts";
import { binarise, type GrayImage, type RgbImage } from "./image.ts";
import { resize, type Box } from "./resize.ts";

export interface PasteOptions {
  /**
   * How far the edge of the mask is softened to either side, in whole pixels of the original picture; 0 is a hard edge.
   * Default: a hundredth of the height of the part that was used, at least 1.
   */
  readonly feather?: number | undefined;
}

/** Full weight. Sixteen bits: running sums stay whole numbers, so none and all stay exactly none and all. */
const FULL = 65535;

/**
 * The result put into the original picture, at the original's size. The weight of the result is the mask (white from
 * 127 on, as in the pipeline) under a Gaussian blur, made of three box blurs that together reach `feather` pixels:
 * pixels further than that from the mask keep the original's bytes, pixels further than that inside have the result's.
 * At the picture's own border the mask counts as going on; where cropping cut the result off, its weight falls to 0.
 * @param original the picture that was fitted
 * @param result at the fitted size, as is the mask
 * @param place what `fit` returned
 * @throws ShapeError when the sizes differ from the placement's, or feather is no whole number
 */
export function pasteBack(
  original: RgbImage,
  result: RgbImage,
  mask: GrayImage,
  place: Placement,
  options: PasteOptions = {},
): RgbImage {
  const { source } = place;
  const { feather = Math.max(1, Math.round((source[3] - source[1]) / 100)) } = options;
  if (!Number.isInteger(feather) || feather < 0) throw new ShapeError("pasteBack", `a feather of ${feather} pixels`);
  checkSize("pasteBack", original, place.from, 3);
  checkSize("pasteBack", result, place.to, 3);
  const white = unfitMask(binarise(mask), place);
  const pasted = { ...original, data: original.data.slice() };
  const painted = whiteBox(white);
  if (!painted) return pasted;
  const region = grown(painted, feather, source);
  const weights = taken(white, region);
  blur(weights, region, feather);
  taper(weights, region, place, feather);
  blend(pasted, resized(result, region, place), weights, region);
  return pasted;
}

/** The smallest box that holds every pixel that is not black; undefined when all are. */
export function whiteBox({ width, height, data }: GrayImage): Box | undefined {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width, (y + 1) * width);
    const first = row.findIndex((value) => value > 0);
    if (first < 0) continue;
    left = Math.min(left, first);
    right = Math.max(right, row.findLastIndex((value) => value > 0) + 1);
    top = Math.min(top, y);
    bottom = y + 1;
  }
  return right === 0 ? undefined : [left, top, right, bottom];
}

const grown = ([left, top, right, bottom]: Box, by: number, limits: Box): Box => [
  Math.max(limits[0], left - by),
  Math.max(limits[1], top - by),
  Math.min(limits[2], right + by),
  Math.min(limits[3], bottom + by),
];

function taken({ width, data }: GrayImage, [left, top, right, bottom]: Box): Uint16Array {
  const weights = new Uint16Array((right - left) * (bottom - top));
  for (let y = top, to = 0; y < bottom; y++)
    for (let x = left; x < right; x++) weights[to++] = data[y * width + x]! > 0 ? FULL : 0;
  return weights;
}

/** Three box blurs each way, their radii adding up to `reach`; beyond the region its outermost pixels go on. */
function blur(weights: Uint16Array, [left, top, right, bottom]: Box, reach: number): void {
  const [width, height] = [right - left, bottom - top];
  const line = new Float64Array(Math.max(width, height));
  for (const third of [0, 1, 2]) {
    const radius = Math.floor((reach + third) / 3);
    if (radius === 0) continue;
    for (let y = 0; y < height; y++) boxBlur(weights, line, { start: y * width, step: 1, count: width, radius });
    for (let x = 0; x < width; x++) boxBlur(weights, line, { start: x, step: width, count: height, radius });
  }
}

interface Line {
  readonly start: number;
  readonly step: number;
  readonly count: number;
  readonly radius: number;
}

function boxBlur(weights: Uint16Array, line: Float64Array, { start, step, count, radius }: Line): void {
  for (let i = 0; i < count; i++) line[i] = weights[start + i * step]!;
  const [first, last, window] = [line[0]!, line[count - 1]!, 2 * radius + 1];
  let sum = first * (radius + 1);
  for (let i = 1; i <= radius; i++) sum += i < count ? line[i]! : last;
  for (let i = 0; i < count; i++) {
    weights[start + i * step] = Math.round(sum / window);
    const [enters, leaves] = [i + radius + 1, i - radius];
    sum += (enters < count ? line[enters]! : last) - (leaves > 0 ? line[leaves]! : first);
  }
}

/** Towards the sides where the original goes on but the result does not, its weight goes to 0. */
function taper(weights: Uint16Array, region: Box, { from, source }: Placement, feather: number): void {
  const [left, top, right, bottom] = region;
  const width = right - left;
  const share = (beyond: number) => Math.min(1, beyond / (feather + 1));
  const along = (first: number, end: number, near: number, far: number, side: number) =>
    Float64Array.from({ length: end - first }, (_, i) =>
      Math.min(near > 0 ? share(first + i - near + 1) : 1, far < side ? share(far - first - i) : 1),
    );
  const [columns, rows] = [
    along(left, right, source[0], source[2], from.width),
    along(top, bottom, source[1], source[3], from.height),
  ];
  if (columns.every((value) => value === 1) && rows.every((value) => value === 1)) return;
  for (let y = 0; y < rows.length; y++)
    for (let x = 0; x < width; x++)
      weights[y * width + x] = Math.round(weights[y * width + x]! * columns[x]! * rows[y]!);
}

/** The part of the result that belongs to a region of the original, at the original's size. */
function resized(result: RgbImage, [left, top, right, bottom]: Box, { source, target }: Placement): RgbImage {
  const x = (target[2] - target[0]) / (source[2] - source[0]);
  const y = (target[3] - target[1]) / (source[3] - source[1]);
  const across = (at: number) => Math.min(target[0] + (at - source[0]) * x, result.width);
  const down = (at: number) => Math.min(target[1] + (at - source[1]) * y, result.height);
  const box: Box = [across(left), down(top), across(right), down(bottom)];
  return resize(result, right - left, bottom - top, "bicubic", box);
}

function blend(picture: RgbImage, part: RgbImage, weights: Uint16Array, [left, top]: Box): void {
  for (let y = 0, i = 0; y < part.height; y++)
    for (let x = 0; x < part.width; x++, i++) {
      const weight = weights[i]!;
      if (weight === 0) continue;
      const at = ((top + y) * picture.width + left + x) * 3;
      for (let c = 0; c < 3; c++) {
        const own = picture.data[at + c]!;
        picture.data[at + c] = Math.round(own + ((part.data[3 * i + c]! - own) * weight) / FULL);
      }
    }
}
