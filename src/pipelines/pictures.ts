import { EmptyMaskError, InputError } from "../util/errors.ts";
import { combineMasks } from "../vision/agnostic.ts";
import {
  fit,
  fitMask,
  hasShape,
  placementOf,
  unfitMask,
  type FitMode,
  type Placement,
  type Size,
} from "../vision/fit.ts";
import { binarise, compositeGray, type GrayImage, type RgbImage } from "../vision/image.ts";
import { inspectInputs } from "../vision/inspect.ts";
import { connectedPieces } from "../vision/morphology.ts";
import { whiteBox } from "../vision/paste.ts";
import { resize, type Box } from "../vision/resize.ts";
import { trimGarment } from "../vision/trim.ts";
import type { TryOnInputs } from "./inputs.ts";
import type { GeneratedMask } from "./mask.ts";
import type { TryOnSettings } from "./settings.ts";

/** A run's pictures at the output's size. */
export interface Pictures {
  readonly person: RgbImage;
  /** The garment, then those worn with it. */
  readonly garments: readonly RgbImage[];
  /** 0 or 255. */
  readonly mask: GrayImage;
  /** Where each garment may go, within the mask. */
  readonly regions: readonly GrayImage[];
  /** The person with grey where the mask is white. */
  readonly masked: RgbImage;
  /** Where the person's picture lies in it. */
  readonly place: Placement;
  /** What made the mask, when it was not given. */
  readonly generated: GeneratedMask | undefined;
  /** One line each about what may spoil the result. */
  readonly warnings: readonly string[];
}

/** Makes a mask for a picture of the output's size. */
export type MaskMaker = (person: RgbImage) => Promise<GeneratedMask>;

/**
 * Fits the pictures to the output and finds the mask: given, generated, or both combined.
 * @throws EmptyMaskError when nothing is to be painted, InputError when nothing of the person would be kept
 */
export async function preparePictures(
  inputs: TryOnInputs,
  settings: TryOnSettings,
  make: MaskMaker,
): Promise<Pictures> {
  const { width, height } = settings;
  const { fit: mode = "pad", maskCombine: combine = "replace" } = inputs;
  const whole = inputs.mask && soundMask(inputs.mask);
  const alone = combine === "replace" ? whole : undefined;
  const cuts = mode === "crop" && !hasShape(inputs.person, settings);
  const box = cuts ? await personBox(inputs.person, alone, settings, make) : undefined;
  const { image: person, place } = fit(inputs.person, { width, height, mode, person: box });
  const dressed = [inputs.garment, ...(inputs.moreGarments ?? []).map(({ garment }) => garment)];
  const fitted = dressed.map((garment) => garmentPicture({ ...inputs, garment }, { width, height }));
  const garments = fitted.map(({ garment }) => garment);
  const notes = fitted.flatMap((each) => each.notes);
  const given = whole && fitMask(whole, place);
  const generated = alone ? undefined : await make(person);
  const mask = generated ? (given ? combineMasks(generated.mask, given, combine) : generated.mask) : given!;
  if (!mask.data.includes(WHITE))
    throw new EmptyMaskError("mask", `nothing of it is left at ${width}x${height}: there is nothing to paint`);
  if (inputs.mask) notes.push(...stretched(inputs.mask, inputs.person));
  if (alone && !inputs.regions) notes.push(...shared(inputs));
  if (generated) notes.push(...othersIn(generated));
  const sizes = { width, height, fit: mode, garmentFit: garmentMode(mode) };
  const warnings = [...notes, ...inspectInputs({ ...inputs, mask: unfitMask(mask, place), ...sizes })];
  const own = inputs.regions?.map((region) => fitMask(binarise(region), place)) ?? generated?.regions;
  const regions = garments.map((_, i) => both(mask, own?.[i] ?? mask));
  const masked = compositeGray(person, mask, 127);
  return { person, garments, mask, regions, masked, place, generated, warnings };
}

/** White where both masks are. */
const both = (a: GrayImage, b: GrayImage): GrayImage =>
  a === b ? a : { ...a, data: a.data.map((value, i) => Math.min(value, b.data[i]!)) };

const WHITE = 255;

/** A given mask as 0 and 255. @throws EmptyMaskError, InputError when it says nothing */
function soundMask(given: GrayImage): GrayImage {
  const mask = binarise(given);
  if (!mask.data.includes(WHITE)) throw new EmptyMaskError("mask", "it is all black: there is nothing to paint");
  if (!mask.data.includes(0)) throw new InputError("mask", "it is all white: nothing of the person would be kept");
  return mask;
}

/** A mask of another shape is surely meant for another picture, as the result's is for the padded one. */
function stretched(mask: Size, person: Size): string[] {
  const wider = (mask.width * person.height) / (mask.height * person.width);
  if (Math.max(wider, 1 / wider) <= 1 + MASK_SHAPE || hasShape(mask, person)) return [];
  const [own, other] = [mask, person].map(({ width, height }) => `${width}x${height}`);
  return [`the mask is ${own}, of another shape than the person's picture of ${other}: it is stretched over it`];
}

/** A mask that was made for several kinds of garment does not tell which goes where. */
function shared({ category = "upperbody", moreGarments = [] }: TryOnInputs): string[] {
  const kinds = [...new Set([category, ...moreGarments.map((more) => more.category)])];
  if (kinds.length === 1) return [];
  return [
    `one mask is given for ${kinds.join(" and ")}: it must hold all of it, and each garment may go anywhere in it`,
  ];
}

/** A difference of shape of this share is not worth a word. */
const MASK_SHAPE = 0.05;

/** One line for the case that the picture shows several people. */
export const othersIn = ({ people }: Pick<GeneratedMask, "people">): string[] =>
  people > 1 ? [`${people} people were found in the person's picture: the foremost is dressed`] : [];

/** A garment is never cut: what is missing would be invented. */
const garmentMode = (mode: FitMode): FitMode => (mode === "stretch" ? "stretch" : "pad");

function garmentPicture(
  { garment, fit: mode = "pad", trimGarment: trim = false }: TryOnInputs,
  size: { width: number; height: number },
) {
  const notes: string[] = [];
  if (trim) {
    const trimmed = trimGarment(garment, size);
    if (trimmed.isTrimmed) return { garment: trimmed.image, notes };
    notes.push(`the garment is not trimmed: ${trimmed.reason}`);
  }
  return { garment: fit(garment, { ...size, mode: garmentMode(mode) }).image, notes };
}

/** What cropping keeps: a given mask's region, else the person whom the generated one dresses, in the photo's pixels. */
async function personBox(
  person: RgbImage,
  mask: GrayImage | undefined,
  { width, height }: Size,
  make: MaskMaker,
): Promise<Box | undefined> {
  if (mask) return whiteBox(fitMask(mask, placementOf(person, { ...sizeOf(person), mode: "stretch" })));
  const { image, place } = fit(person, { width, height, mode: "pad" });
  const made = await make(image);
  return whiteBox(unfitMask(resize(dressedPerson(made), width, height, "nearest"), place));
}

const sizeOf = ({ width, height }: Size): Size => ({ width, height });

/** A connected piece that holds less of the mask is a slip of the parser or of the mask, not the person. */
const OF_PERSON = 0.05;

/** Everything that is connected to what is masked: the person, without others who stand apart. */
function dressedPerson({ mask, labels }: GeneratedMask): GrayImage {
  const { pieces, sizes } = connectedPieces(labels);
  const dressed = resize(mask, labels.width, labels.height, "nearest").data;
  const masked = sizes.map(() => 0);
  for (const [i, piece] of pieces.entries()) if (piece > 0 && dressed[i]! > 0) masked[piece]!++;
  const least = OF_PERSON * masked.reduce((sum, count) => sum + count, 0);
  const isPerson = masked.map((count) => count > 0 && count >= least);
  return { ...labels, data: Uint8Array.from(pieces, (piece) => (isPerson[piece] ? WHITE : 0)) };
}
