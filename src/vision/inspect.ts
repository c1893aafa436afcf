import { hasShape, type FitMode, type Size } from "./fit.ts";
import type { GrayImage, RgbImage } from "./image.ts";
import type { Box } from "./resize.ts";
import { findBackground, foregroundBox } from "./trim.ts";

export interface InspectOptions {
  readonly person: RgbImage;
  readonly garment: RgbImage;
  /** Of the person's picture, at any size. */
  readonly mask?: GrayImage | undefined;
  /** The output's size. Default 768 x 1024. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  /** What will happen to a person's picture of another shape. Default pad. */
  readonly fit?: FitMode | undefined;
  /** What will happen to a garment's photo of another shape. Default as `fit`. */
  readonly garmentFit?: FitMode | undefined;
  /** Whether the garment's photo will be trimmed where that is possible; then its margins do not matter. */
  readonly trimGarment?: boolean | undefined;
}

/** A shape this much longer or wider (5 %) is not worth a word. */
const SHAPE = 0.05;
/** A garment that takes less of its photo both ways does not fill it. */
const FILLS = 0.6;
/** A mask that runs along this share of a side is cut off by it. */
const CUT = 0.02;

/**
 * What OOTDiffusion's authors name as causes of bad results, as far as a picture shows it: another shape than the
 * output's, a garment on a background that is not plain or that does not fill its frame, a person who is cut off, and
 * pictures smaller than the output.
 * @returns one short sentence each, with the numbers; empty when there is nothing to say
 */
export function inspectInputs(options: InspectOptions): string[] {
  const { person, garment, mask, width = 768, height = 1024, fit = "pad", trimGarment = false } = options;
  const { garmentFit = fit } = options;
  const output = { width, height };
  return [
    shapeOf("the person's picture", person, output, fit),
    sizeOf("the person's picture", person, output),
    ...(mask ? [cutOff(mask)] : []),
    ...ofGarment(garment, output, garmentFit, trimGarment),
  ].filter((warning) => warning !== undefined);
}

const sizeText = ({ width, height }: Size) => `${width}x${height}`;
const percent = (share: number) => `${Math.round(share * 100)} %`;

function shapeOf(name: string, picture: Size, output: Size, fit: FitMode): string | undefined {
  const wider = (picture.width * output.height) / (picture.height * output.width);
  const factor = Math.max(wider, 1 / wider);
  if (factor <= 1 + SHAPE || hasShape(picture, output)) return undefined;
  const border = wider > 1 ? "above and below" : "beside it";
  const what = {
    pad: `a border ${border} fills ${percent(1 - 1 / factor)} of the frame`,
    crop: `${percent(1 - 1 / factor)} of it is cut off`,
    stretch: `it is ${wider > 1 ? "narrowed" : "flattened"} to ${percent(1 / factor)}`,
  }[fit];
  return `${name} is ${sizeText(picture)}, not ${ratio(output)}: ${what}`;
}

/** 3:4 for 768 x 1024. */
function ratio({ width, height }: Size): string {
  let [a, b] = [width, height];
  while (b > 0) [a, b] = [b, a % b];
  return `${width / a}:${height / a}`;
}

function sizeOf(name: string, picture: Size, output: Size): string | undefined {
  const factor = Math.min(output.width / picture.width, output.height / picture.height);
  if (factor <= 1) return undefined;
  return `${name} is ${sizeText(picture)}, smaller than the output of ${sizeText(output)}: it is enlarged ${factor.toFixed(1)} times`;
}

function cutOff({ width, height, data }: GrayImage): string | undefined {
  const white = (x: number, y: number) => data[y * width + x]! >= 127;
  const share = (count: number, isWhite: (i: number) => boolean) => {
    let found = 0;
    for (let i = 0; i < count; i++) if (isWhite(i)) found++;
    return found / count;
  };
  const sides = {
    left: share(height, (y) => white(0, y)),
    top: share(width, (x) => white(x, 0)),
    right: share(height, (y) => white(width - 1, y)),
    bottom: share(width, (x) => white(x, height - 1)),
  };
  const touched = Object.entries(sides).filter(([, along]) => along >= CUT);
  if (touched.length === 0) return undefined;
  const list = touched.map(([side, along]) => `${side} (${percent(along)} of it)`).join(", ");
  return `the person is cut off: the mask touches the picture's border: ${list}`;
}

function ofGarment(garment: RgbImage, output: Size, fit: FitMode, willTrim: boolean): (string | undefined)[] {
  const name = "the garment's picture";
  const found = findBackground(garment);
  const size = sizeOf(name, garment, output);
  const shape = shapeOf(name, garment, output, fit);
  if (!found.isPlain)
    return [
      shape,
      size,
      `the garment's background is not plain: at the picture's border colours differ by ${found.spread} levels`,
    ];
  if (willTrim) return [size];
  return [shape, size, filling(garment, foregroundBox(garment, found.background))];
}

function filling({ width, height }: Size, [left, top, right, bottom]: Box = [0, 0, 0, 0]): string | undefined {
  const [across, down] = [(right - left) / width, (bottom - top) / height];
  if (Math.max(across, down) >= FILLS) return undefined;
  return `the garment does not fill its picture: ${percent(across)} of the width, ${percent(down)} of the height`;
}
