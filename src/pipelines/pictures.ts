import { InputError } from "../util/errors.ts";
import { combineMasks } from "../vision/agnostic.ts";
import { fit, fitMask, placementOf, unfitMask, type FitMode, type Placement } from "../vision/fit.ts";
import { binarise, compositeGray, type GrayImage, type RgbImage } from "../vision/image.ts";
import { inspectInputs } from "../vision/inspect.ts";
import { whiteBox } from "../vision/paste.ts";
import type { Box } from "../vision/resize.ts";
import { trimGarment } from "../vision/trim.ts";
import type { TryOnInputs } from "./inputs.ts";
import type { GeneratedMask } from "./mask.ts";
import type { TryOnSettings } from "./settings.ts";

/** A run's pictures at the output's size. */
export interface Pictures {
  readonly person: RgbImage;
  readonly garment: RgbImage;
  /** 0 or 255. */
  readonly mask: GrayImage;
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

/** Fits the pictures to the output and finds the mask: given, generated, or both combined. */
export async function preparePictures(
  inputs: TryOnInputs,
  settings: TryOnSettings,
  make: MaskMaker,
): Promise<Pictures> {
  const { width, height } = settings;
  const { fit: mode = "pad" } = inputs;
  const box = mode === "crop" ? await personBox(inputs, { width, height }, make) : undefined;
  const { image: person, place } = fit(inputs.person, { width, height, mode, ...(box && { person: box }) });
  const { garment, notes } = garmentPicture(inputs, { width, height });
  const given = inputs.mask && fitMask(inputs.mask, place);
  const combine = inputs.maskCombine ?? "replace";
  const generated = given && combine === "replace" ? undefined : await make(person);
  const mask = binarise(generated ? (given ? combineMasks(generated.mask, given, combine) : generated.mask) : given!);
  if (!mask.data.some((value) => value > 0)) throw new InputError("mask", "it is all black: there is nothing to paint");
  const warnings = [
    ...notes,
    ...inspectInputs({
      ...inputs,
      mask: unfitMask(mask, place),
      width,
      height,
      fit: mode,
      garmentFit: garmentMode(mode),
    }),
  ];
  return { person, garment, mask, masked: compositeGray(person, mask, 127), place, generated, warnings };
}

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

/** What cropping keeps: the given mask's region, or the one generated for the whole picture. */
async function personBox(
  { person, mask }: TryOnInputs,
  size: { width: number; height: number },
  make: MaskMaker,
): Promise<Box | undefined> {
  if (mask) {
    const own = fitMask(mask, placementOf(person, { width: person.width, height: person.height, mode: "stretch" }));
    return whiteBox(binarise(own));
  }
  const whole = fit(person, { ...size, mode: "pad" });
  return whiteBox(unfitMask((await make(whole.image)).mask, whole.place));
}
