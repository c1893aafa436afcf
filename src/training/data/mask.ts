import { agnosticMask, type AgnosticOptions, type Category, type Protection } from "../../vision/agnostic.ts";
import type { GrayImage } from "../../vision/image.ts";
import type { Pose } from "../../vision/pose.ts";

/** How masks of a training are made. Default: as the dc model's, sparing face, hands, shoes and bag. */
export type TrainingMaskOptions = Partial<Omit<AgnosticOptions, "category">>;

const SPARED: Protection = { face: true, hands: true, shoes: true, bag: true };

/**
 * The generated mask, and every pixel that shows any of the garment: a polygon's simplified border and, above 384x512,
 * its coarser pixels may leave some at the rim, from which a network would learn to read the garment.
 * @param garment - labels of what the person wears where the garment goes
 * @throws EmptyMaskError, InputError as `agnosticMask`
 */
export function trainingMask(
  labels: GrayImage,
  pose: Pose,
  { model = "dc", protect = SPARED, ...rest }: TrainingMaskOptions & { readonly category: Category },
  garment: readonly number[],
): GrayImage {
  const mask = agnosticMask(labels, pose, { model, protect, ...rest });
  const worn = new Set(garment);
  return { ...mask, data: mask.data.map((value, i) => (worn.has(labels.data[i]!) ? 255 : value)) };
}
