import { ShapeError } from "../util/errors.ts";
import { extendEdges, type Background } from "./border.ts";
import { channelsOf, type GrayImage, type RgbImage } from "./image.ts";
import { resize, type Box } from "./resize.ts";

/** What happens to a picture of another shape: a border is added, parts are cut off, or it is distorted. */
export type FitMode = "pad" | "crop" | "stretch";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Where a part of one picture lies in another: what results and masks need to travel back. */
export interface Placement {
  /** The original picture's size. */
  readonly from: Size;
  /** The fitted picture's size. */
  readonly to: Size;
  /** The part of the original that is used, in its whole pixels. */
  readonly source: Box;
  /** Where that part lies in the fitted picture, in its whole pixels. What lies around it is border. */
  readonly target: Box;
}

export interface FitOptions extends Size {
  /** Default pad. */
  readonly mode?: FitMode;
  /**
   * The person, or whatever matters most, in the picture's pixels. Cropping keeps it in the middle, or from its top
   * down if it is too tall; a border is put away from the edge that cuts it off.
   */
  readonly person?: Box | undefined;
}

/**
 * Brings a picture to a size without distorting it. A picture that has the size's shape, to half a pixel of its own, is
 * only resized, whatever the mode. `stretch` is the published behaviour.
 * @returns the picture at width x height, resized by Pillow's bicubic filter, and where it lies in it
 * @throws ShapeError for a size that is none or an empty box
 */
export function fit(image: RgbImage, options: FitOptions): { image: RgbImage; place: Placement } {
  const place = placementOf(image, options);
  return { image: placeImage(image, place), place };
}

/** Where `fit` puts a picture of a size. */
export function placementOf(from: Size, { width, height, mode = "pad", person }: FitOptions): Placement {
  const to = { width, height };
  for (const [name, size] of Object.entries({ "a picture": from, "an output": to }))
    if (![size.width, size.height].every((side) => Number.isInteger(side) && side > 0))
      throw new ShapeError("fit", `${size.width}x${size.height} is not the size of ${name}`);
  const whole: Box = [0, 0, from.width, from.height];
  const box = person && clip(person, from);
  if (mode === "stretch" || hasShape(from, to)) return placeWindow(from, to, whole);
  const needed = { width: (from.height * width) / height, height: (from.width * height) / width };
  const across = needed.width > from.width === (mode === "pad"); // the direction in which something is amiss
  const [side, length] = across ? [from.width, needed.width] : [from.height, needed.height];
  const extent: Span | undefined = box && (across ? [box[0], box[2]] : [box[1], box[3]]);
  const begin = mode === "pad" ? bordered(side, length, extent) : cropped(side, length, extent, !across);
  const end = begin + length;
  return placeWindow(from, to, across ? [begin, 0, end, from.height] : [0, begin, from.width, end]);
}

/** Whether a picture has another's shape, to half a pixel of its own. */
export const hasShape = (picture: Size, { width, height }: Size): boolean =>
  Math.round((picture.width * height) / width) === picture.height ||
  Math.round((picture.height * width) / height) === picture.width;

function clip([left, top, right, bottom]: Box, { width, height }: Size): Box {
  const box: Box = [Math.max(0, left), Math.max(0, top), Math.min(width, right), Math.min(height, bottom)];
  if (!(box[2] > box[0] && box[3] > box[1])) {
    const given = [left, top, right, bottom].join(", ");
    throw new ShapeError("fit", `box [${given}] holds nothing of a picture of ${width}x${height}`);
  }
  return box;
}

type Span = readonly [first: number, end: number];

/** This share of a side or nearer counts as touching it. */
const TOUCHES = 0.01;

/** Where a window of `length` > `side` begins that holds the whole side. */
function bordered(side: number, length: number, extent: Span | undefined): number {
  const cutNear = extent !== undefined && extent[0] <= side * TOUCHES;
  const cutFar = extent !== undefined && extent[1] >= side * (1 - TOUCHES);
  return (side - length) * (cutNear === cutFar ? 0.5 : cutNear ? 0 : 1);
}

/** Where a window of `length` < `side` begins that lies within the side. */
function cropped(side: number, length: number, extent: Span | undefined, keepsBegin: boolean): number {
  const [near, far] = extent ?? [0, side];
  const begin = extent && keepsBegin && far - near > length ? near : (near + far - length) / 2;
  return Math.min(Math.max(0, begin), side - length);
}

/**
 * A window onto a picture, in the picture's pixels, that becomes the whole of `to`; it may reach beyond the picture.
 * Inside the picture its sides are moved to whole pixels.
 */
export function placeWindow(from: Size, to: Size, [left, top, right, bottom]: Box): Placement {
  const [across, down] = [span(from.width, to.width, left, right), span(from.height, to.height, top, bottom)];
  const box = (end: "source" | "target"): Box => [across[end][0], down[end][0], across[end][1], down[end][1]];
  return {
    from: { width: from.width, height: from.height },
    to: { width: to.width, height: to.height },
    source: box("source"),
    target: box("target"),
  };
}

/** begin…end as whole pixels of `side`, at least one. */
function snap(side: number, begin: number, end: number): Span {
  const count = Math.min(Math.max(1, Math.round(end - begin)), side);
  const first = Math.min(Math.max(0, Math.round(begin)), side - count);
  return [first, first + count];
}

function span(inside: number, outside: number, begin: number, end: number): { source: Span; target: Span } {
  const source = snap(inside, Math.max(0, begin), Math.min(inside, end));
  const window = [begin < 0 ? begin : source[0], end > inside ? end : source[1]] as const;
  const scale = outside / (window[1] - window[0]);
  return { source, target: snap(outside, (source[0] - window[0]) * scale, (source[1] - window[0]) * scale) };
}

const isWhole = ([left, top, right, bottom]: Box, { width, height }: Size) =>
  left === 0 && top === 0 && right === width && bottom === height;

/**
 * A picture at its place, edges carried on outwards over the border.
 * @param background see `extendEdges`
 * @throws ShapeError when the picture has another size than the placement's
 */
export function placeImage(image: RgbImage, place: Placement, background?: Background): RgbImage {
  checkSize("placeImage", image, place.from, 3);
  const { source, target, to } = place;
  const [left, top, right, bottom] = target;
  const inner = resize(image, right - left, bottom - top, "bicubic", source);
  if (isWhole(target, to)) return inner;
  const data = new Uint8Array(to.width * to.height * 3);
  copyInto({ ...to, data }, inner, left, top, 3);
  extendEdges(data, to, target, background);
  return { ...to, data };
}

/**
 * A mask of the original picture at its place in the fitted one: nearest pixels, black over the border. A mask of
 * another size is taken to cover the whole picture.
 * @returns a mask of the fitted size
 */
export function fitMask(mask: GrayImage, { from, to, source, target }: Placement): GrayImage {
  checkSize("fitMask", mask, mask, 1);
  const [x, y] = [mask.width / from.width, mask.height / from.height];
  const box: Box = [source[0] * x, source[1] * y, source[2] * x, source[3] * y];
  return moved(mask, box, to, target);
}

/** The way back: a mask of the fitted picture as one of the original, nearest pixels, black over what was cut off. */
export function unfitMask(mask: GrayImage, { from, to, source, target }: Placement): GrayImage {
  checkSize("unfitMask", mask, to, 1);
  return moved(mask, target, from, source);
}

function moved(mask: GrayImage, box: Box, { width, height }: Size, [left, top, right, bottom]: Box): GrayImage {
  const result = { width, height, data: new Uint8Array(width * height) };
  copyInto(result, resize(mask, right - left, bottom - top, "nearest", box), left, top, 1);
  return result;
}

function copyInto(
  canvas: RgbImage | GrayImage,
  part: RgbImage | GrayImage,
  left: number,
  top: number,
  channels: 1 | 3,
) {
  const row = part.width * channels;
  for (let y = 0; y < part.height; y++)
    canvas.data.set(part.data.subarray(y * row, (y + 1) * row), ((top + y) * canvas.width + left) * channels);
}

/** @throws ShapeError unless a picture has this size and this many channels */
export function checkSize(op: string, image: RgbImage | GrayImage, { width, height }: Size, channels: 1 | 3): void {
  if (image.width !== width || image.height !== height)
    throw new ShapeError(op, `the picture is ${image.width}x${image.height}, the placement's is ${width}x${height}`);
  const found = channelsOf(image);
  if (found !== channels) throw new ShapeError(op, `${found} channels a pixel, ${channels} are needed`);
}
