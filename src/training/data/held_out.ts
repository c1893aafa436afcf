import { LABEL } from "../../vision/labels.ts";
import { compositeGray, type GrayImage, type RgbImage } from "../../vision/image.ts";
import type { TryOnSample } from "./dataset.ts";
import { GARMENT_LABELS, type Garment, type Sleeve } from "./draw/garment.ts";
import { paintPerson, type Scene, type Worn } from "./draw/scene.ts";
import { drawnDataset, isUnpaired, sceneOf, type DrawnOptions } from "./drawn.ts";

// How near a try-on comes to a drawn person's true picture. Drawn people are known to the last pixel: what is measured
// needs no network, and true pictures reach the best of each.

/** What is measured of one picture. */
export interface HeldOutScore {
  /** Mean absolute difference from the truth inside the mask, 0…255. */
  readonly error: number;
  /** The same of the grey masked person, which is what an empty answer would have. */
  readonly greyError: number;
  /** What the arms show; undefined for garments that have no sleeves. "mixed": bare upper arms, clothed forearms. */
  readonly sleeve: Sleeve | "mixed" | undefined;
  readonly trueSleeve: Sleeve | undefined;
  /** Largest difference over red, green and blue of the mean colours where the garment is seen, 0…255. */
  readonly colour: number;
}

/** A drawn pair and what its true picture shows where. */
export interface HeldOut {
  readonly sample: TryOnSample;
  /** Scores a picture of the same size. */
  measure(picture: RgbImage): HeldOutScore;
}

/** Colours, three numbers each. */
type Colours = readonly (readonly number[])[];

/** Arm pixels that are cloth with a longer sleeve and skin with a shorter one, and both their colours. */
interface Region {
  readonly pixels: readonly number[];
  readonly cloth: Colours;
  readonly skin: Colours;
}

const SLEEVES: readonly Sleeve[] = ["none", "short", "long"];
const isArm = (label: number | undefined) => label === LABEL.leftArm || label === LABEL.rightArm;

const colourAt = ({ data }: RgbImage, pixel: number): readonly number[] => [
  data[3 * pixel]!,
  data[3 * pixel + 1]!,
  data[3 * pixel + 2]!,
];

/** Numbers of the pixels for which `test` holds. */
const where = ({ width, height }: RgbImage, test: (pixel: number) => boolean): number[] =>
  Array.from({ length: width * height }, (_, pixel) => pixel).filter(test);

/** A drawn pair with its number, ready to be measured. */
export async function heldOut(options: DrawnOptions, index: number): Promise<HeldOut> {
  const sample = await drawnDataset(options).get(index);
  const { person, mask } = sample;
  const truth = sample.truth!;
  const scene = sceneOf(options, index);
  const which = isUnpaired(options, index) ? "other" : "garment";
  const garment = scene[which];
  const label = GARMENT_LABELS[garment.kind];
  const hasSleeves = garment.kind === "top" || garment.kind === "dress";
  const worn = paintPerson(scene, which, person.width, person.height);
  const seen = where(truth, (pixel) => mask.data[pixel] !== 0 && worn.labels.data[pixel] === label);
  const inside = where(truth, (pixel) => mask.data[pixel] !== 0);
  const regions = hasSleeves ? sleeveRegions(scene, garment, mask) : undefined;
  const greyError = difference(compositeGray(person, mask, 127), truth, inside);
  return {
    sample,
    measure: (picture) => ({
      error: difference(picture, truth, inside),
      greyError,
      sleeve: regions && sleeveOn(picture, regions),
      trueSleeve: hasSleeves ? garment.cut.sleeve : undefined,
      colour: Math.max(...meanColour(picture, seen).map((mean, c) => Math.abs(mean - meanColour(truth, seen)[c]!))),
    }),
  };
}

/** Mean absolute difference over the channels of some pixels. */
function difference(a: RgbImage, b: RgbImage, pixels: readonly number[]): number {
  let sum = 0;
  for (const pixel of pixels)
    for (let c = 0; c < 3; c++) sum += Math.abs(a.data[3 * pixel + c]! - b.data[3 * pixel + c]!);
  return sum / (3 * Math.max(1, pixels.length));
}

function meanColour({ data }: RgbImage, pixels: readonly number[]): number[] {
  const sums = [0, 0, 0];
  for (const pixel of pixels) for (let c = 0; c < 3; c++) sums[c]! += data[3 * pixel + c]!;
  return sums.map((sum) => sum / Math.max(1, pixels.length));
}

/** Upper arms and forearms inside the mask, from the same scene drawn with each sleeve. */
function sleeveRegions(scene: Scene, garment: Garment, mask: GrayImage): { upper: Region; fore: Region } {
  const label = GARMENT_LABELS[garment.kind];
  const [none, short, long] = SLEEVES.map((sleeve) => {
    const dressed = { ...scene, other: { ...garment, cut: { ...garment.cut, sleeve } } };
    return paintPerson(dressed, "other", mask.width, mask.height);
  }) as [Worn, Worn, Worn];
  const between = (bare: Worn, covered: Worn): Region => {
    const differs = (pixel: number) => covered.labels.data[pixel] === label && isArm(bare.labels.data[pixel]);
    const pixels = where(long.person, (pixel) => mask.data[pixel] !== 0 && differs(pixel));
    const colours = ({ person }: Worn) => pixels.map((pixel) => colourAt(person, pixel));
    return { pixels, cloth: colours(covered), skin: colours(bare) };
  };
  return { upper: between(none, short), fore: between(short, long) };
}

/** Which sleeve a picture shows: whether most pixels of upper arms and forearms are nearer to cloth than to skin. */
function sleeveOn(picture: RgbImage, { upper, fore }: { upper: Region; fore: Region }): Sleeve | "mixed" {
  const [above, below] = [isCovered(picture, upper), isCovered(picture, fore)];
  if (above) return below ? "long" : "short";
  return below ? "mixed" : "none";
}

function isCovered(picture: RgbImage, { pixels, cloth, skin }: Region): boolean {
  const covered = pixels.filter((pixel) => {
    const colour = colourAt(picture, pixel);
    return nearest(colour, cloth) < nearest(colour, skin);
  });
  return covered.length > pixels.length / 2;
}

/** Squared distance to the nearest of some colours. */
function nearest([r, g, b]: readonly number[], colours: Colours): number {
  let least = Infinity;
  for (const [x, y, z] of colours) least = Math.min(least, (r! - x!) ** 2 + (g! - y!) ** 2 + (b! - z!) ** 2);
  return least;
}

/** What many scores come to. */
export interface HeldOutSummary {
  readonly pairs: number;
  /** Mean error inside the masks, the grey masked people's, 0…255, and the first by the second. */
  readonly error: number;
  readonly greyError: number;
  readonly errorRatio: number;
  /** Of the garments with sleeves: how many, and the share that shows the right one. */
  readonly sleeved: number;
  readonly sleeveShare: number;
  /** "true→shown" with their counts. */
  readonly sleeves: Readonly<Record<string, number>>;
  /** Mean of the colour distances, and the share of them up to `COLOUR_LIMIT`. */
  readonly colour: number;
  readonly colourShare: number;
}

/** How far a garment's mean colour may be off, in 255ths. */
export const COLOUR_LIMIT = 20;

const mean = (numbers: readonly number[]) => numbers.reduce((sum, x) => sum + x, 0) / Math.max(1, numbers.length);

/** Sums scores up. */
export function summarise(scores: readonly HeldOutScore[]): HeldOutSummary {
  const sleeved = scores.filter(({ trueSleeve }) => trueSleeve !== undefined);
  const sleeves: Record<string, number> = {};
  for (const { sleeve, trueSleeve } of sleeved) {
    const key = `${trueSleeve}→${sleeve}`;
    sleeves[key] = (sleeves[key] ?? 0) + 1;
  }
  const [error, greyError] = [mean(scores.map((score) => score.error)), mean(scores.map((score) => score.greyError))];
  return {
    pairs: scores.length,
    ...{ error, greyError, errorRatio: error / greyError },
    sleeved: sleeved.length,
    sleeveShare: mean(sleeved.map(({ sleeve, trueSleeve }) => Number(sleeve === trueSleeve))),
    sleeves,
    colour: mean(scores.map(({ colour }) => colour)),
    colourShare: mean(scores.map(({ colour }) => Number(colour <= COLOUR_LIMIT))),
  };
}
