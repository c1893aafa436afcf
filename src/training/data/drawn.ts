import { InputError } from "../../util/errors.ts";
import type { Category } from "../../vision/agnostic.ts";
import type { GrayImage, RgbImage } from "../../vision/image.ts";
import type { TryOnDataset, TryOnSample } from "./dataset.ts";
import { paintFlat } from "./draw/flat.ts";
import { GARMENT_LABELS, type Sleeve } from "./draw/garment.ts";
import type { Framing } from "./draw/pose.ts";
import { drawScene, paintPerson, type Scene, type Worn } from "./draw/scene.ts";
import { trainingMask, type TrainingMaskOptions } from "./mask.ts";

/** What `drawnDataset` draws. */
export interface DrawnOptions {
  /** An integer; its low 32 bits count. */
  readonly seed: number;
  /** Pixels, 16 to 4096. */
  readonly width: number;
  /** Pixels, 16 to 4096. */
  readonly height: number;
  /** In turn. Default: upperbody. */
  readonly categories?: readonly Category[];
  /** paired: the garment that the person wears; unpaired: another one, and the truth of it; mixed: in turn. */
  readonly pairing?: "paired" | "unpaired" | "mixed";
  /** half: from head to thighs, for tops. Default: whole. */
  readonly framing?: Framing;
  /** How masks are made. Default: those of the dc model, which spare face, hands, shoes and bag. */
  readonly mask?: TrainingMaskOptions;
  /** Default: without end. */
  readonly length?: number;
}

const LARGEST = 4096;

function check({ width, height, categories = ["upperbody"], framing, length = Infinity }: DrawnOptions): void {
  for (const size of [width, height])
    if (!Number.isInteger(size) || size < 16 || size > LARGEST)
      throw new InputError("drawn data", `${width}x${height} pixels; sides are whole numbers from 16 to ${LARGEST}`);
  if (categories.length === 0) throw new InputError("drawn data", "no category");
  if (framing === "half" && categories.some((category) => category !== "upperbody"))
    throw new InputError("drawn data", "half-body pictures show tops only");
  if (length !== Infinity && (!Number.isInteger(length) || length < 1))
    throw new InputError("drawn data", `a set of ${length} pairs`);
}

/**
 * Drawn people and garments without end: anybody's numbers, no files. A sample depends on the seed and on its number
 * alone, and is drawn when it is asked for (some 70 a second of 64x96 pixels on one core, masks included).
 * @throws InputError for options that cannot be meant
 */
export function drawnDataset(options: DrawnOptions): TryOnDataset {
  check(options);
  const { length = Infinity } = options;
  return {
    length,
    get: async (index) => {
      if (!Number.isInteger(index) || index < 0 || index >= length)
        throw new InputError("drawn data", `no sample ${index} among ${length}`);
      return drawSample(options, index);
    },
  };
}

/** Who is drawn under a number, and in what. */
export function sceneOf({ seed, categories = ["upperbody"], framing }: DrawnOptions, index: number): Scene {
  return drawScene(seed, index, categories[index % categories.length]!, framing);
}

/** How long the sleeves of a sample's garment are: `garment` is the one that the sample's garment picture shows. */
export function sleeveOf(options: DrawnOptions, index: number): Sleeve {
  return sceneOf(options, index)[isUnpaired(options, index) ? "other" : "garment"].cut.sleeve;
}

/** Whether a sample shows another garment than its person wears. */
export const isUnpaired = ({ pairing = "paired", categories = ["upperbody"] }: DrawnOptions, index: number): boolean =>
  pairing === "unpaired" || (pairing === "mixed" && Math.floor(index / categories.length) % 2 === 1);

function drawSample(options: DrawnOptions, index: number): TryOnSample {
  const { width, height } = options;
  const scene = sceneOf(options, index);
  const worn = paintPerson(scene, "garment", width, height);
  const mask = drawnMask(scene, worn, options);
  const unpaired = isUnpaired(options, index);
  const truth = unpaired ? drawnTruth(scene, worn, mask) : worn.person;
  const name = drawnName(index);
  return {
    person: worn.person,
    garment: paintFlat(unpaired ? scene.other : scene.garment, width, height),
    mask,
    truth,
    category: scene.category,
    labels: worn.labels,
    pose: worn.pose,
    names: { person: `${name}_0`, garment: `${name}_${unpaired ? OTHER : 1}` },
  };
}

/** The number in the name of an other garment's picture. */
export const OTHER = 6;
export const drawnName = (index: number): string => String(index).padStart(6, "0");

/** The mask that a drawn person is trained with. */
export const drawnMask = (scene: Scene, { labels, pose }: Worn, { mask }: Pick<DrawnOptions, "mask">): GrayImage =>
  trainingMask(labels, pose, { ...mask, category: scene.category }, [GARMENT_LABELS[scene.garment.kind]]);

/**
 * The person in the other garment. Outside the mask nothing changes, as a try-on keeps it: a sleeve that would reach
 * over a hand or trousers ends there.
 */
export function drawnTruth(scene: Scene, { person }: Worn, mask: GrayImage): RgbImage {
  const { width, height } = person;
  const other = paintPerson(scene, "other", width, height).person;
  const data = person.data.map((value, i) => (mask.data[Math.floor(i / 3)] === 0 ? value : other.data[i]!));
  return { width, height, data };
}
