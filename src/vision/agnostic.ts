import { EmptyMaskError, InputError } from "../util/errors.ts";
import { drawnArm } from "./arms.ts";
import { contourArea, findContours, type Contour } from "./contours.ts";
import { generousRegion } from "./generous.ts";
import type { GrayImage } from "./image.ts";
import { LABEL, LABELS, maskOf } from "./labels.ts";
import { dilateBox, dilateDisc, fillHoles, union, without } from "./morphology.ts";
import { fillPolygon } from "./polygon.ts";
import type { Pose } from "./pose.ts";
import { resize } from "./resize.ts";

export type Category = "upperbody" | "lowerbody" | "dress";
export type MaskMode = "reference" | "generous";

/**
 * Whether parts of the person are kept. true: not one of their pixels is masked; false: they may be painted over;
 * not given: as the mode does.
 */
export interface Protection {
  /** With sunglasses and hat. */
  readonly face?: boolean;
  /** Needs the key points of elbow and wrist. */
  readonly hands?: boolean;
  /** Both of them. */
  readonly shoes?: boolean;
  /** As the label map shows it, without a hat. */
  readonly hair?: boolean;
  /** As the label map shows it. */
  readonly bag?: boolean;
}

/** How `agnosticMask` decides what may be painted. */
export interface AgnosticOptions {
  /** Its arms are drawn 60 (hd) or 45 (dc) pixels wide. */
  readonly model: "hd" | "dc";
  /** What is put on, and therefore what comes off. */
  readonly category: Category;
  /** Default: reference. */
  readonly mode?: MaskMode;
  /** Pixels of the label map by which the mask is widened at the end. Default: 0. */
  readonly grow?: number;
  /** Parts of the person that must stay, or need not. */
  readonly protect?: Protection;
}

/** The size that key points and distances are meant for. */
export const MASK_WIDTH = 384;
export const MASK_HEIGHT = 512;

const SEEDS: Readonly<Record<Category, readonly number[]>> = {
  upperbody: [LABEL.upper, LABEL.dress],
  lowerbody: [LABEL.skirt, LABEL.pants, LABEL.leftLeg, LABEL.rightLeg],
  dress: [LABEL.upper, LABEL.skirt, LABEL.pants, LABEL.dress],
};

/** Labels of other garments, and of arms where a garment has none: the reference keeps them. */
const OTHERS: Readonly<Record<Category, readonly number[]>> = {
  upperbody: [LABEL.skirt, LABEL.pants],
  lowerbody: [LABEL.upper, LABEL.leftArm, LABEL.rightArm],
  dress: [],
};

const HEAD = [LABEL.hat, LABEL.sunglasses, LABEL.face];
const SHOES = [LABEL.leftShoe, LABEL.rightShoe];

/**
 * Where a garment may be painted on a person: 255, and 0 elsewhere, at the label map's size.
 *
 * `reference` is OOTDiffusion's `get_mask_location`: the old garment 10 pixels wider, neck and arms, without what is
 * fixed; of that the largest blob, without its holes, as a simplified polygon. So single pixels of fixed labels at its
 * rim, and fixed parts that it encloses, are masked too; `protect` keeps them out. (Where the polygon crosses itself the
 * published masks have holes of some pixels; these have none.) `generous` is a region that shows nothing of the old
 * garment's outline (its convex hull, and both arms down to the wrists), where hat, face, hands, shoes, hair and bag
 * stay out in every pixel.
 * @param labels - 0…18 of LABEL; another size than 384x512 is worked on at that size, by nearest neighbours
 * @param pose - 18 key points in pixels of 384x512, missing ones at (0, 0); undefined: the parsed arms serve
 * @throws InputError for labels or key points that are none, and when nothing of the picture would be kept
 * @throws EmptyMaskError when nothing remains to be painted
 */
export function agnosticMask(labels: GrayImage, pose: Pose | undefined, options: AgnosticOptions): GrayImage {
  const { category, mode = "reference", grow = 0, protect = {} } = options;
  checkLabels(labels);
  checkPose(pose);
  // Key points alone would still draw arms: somebody's, on another picture.
  if (labels.data.every((label) => label === LABEL.background))
    throw new EmptyMaskError("mask", "nothing to paint: the label map shows no person");
  if (!Number.isFinite(grow) || grow < 0) throw new InputError("mask", `cannot grow by ${grow} pixels`);
  const small = sized(labels, MASK_WIDTH, MASK_HEIGHT);
  const armWidth = options.model === "hd" ? 60 : 45;
  const made =
    mode === "generous" ? generousRegion(small, pose, category, armWidth) : reference(small, pose, armWidth, options);
  const mask = sized(made.mask, labels.width, labels.height);
  const hands = sized(made.hands, labels.width, labels.height);
  const strict = mode === "generous";
  const kept = protectedParts(labels, hands, category, {
    face: protect.face ?? strict,
    hands: protect.hands ?? strict,
    shoes: protect.shoes ?? strict,
    hair: protect.hair ?? strict,
    bag: protect.bag ?? strict,
  });
  const base = without(mask, kept);
  const garments = SEEDS[category].map((label) => Object.keys(LABEL)[label]).join(", ");
  const empty = `no ${garments} in the label map outside what is kept`;
  if (grow === 0) return checked(base, 1, empty);
  const { face = true, hands: keepHands = true, shoes = true, hair = strict, bag = true } = protect;
  const closed = protectedParts(labels, hands, category, { face, hands: keepHands, shoes, hair, bag });
  return checked(union(base, without(dilateDisc(base, grow), closed)), 1, empty);
}

const sized = (image: GrayImage, width: number, height: number): GrayImage =>
  image.width === width && image.height === height ? image : resize(image, width, height, "nearest");

/** get_mask_location on 384x512 pixels. */
function reference(labels: GrayImage, pose: Pose | undefined, armWidth: number, options: AgnosticOptions) {
  const { category, protect = {} } = options;
  let region = dilateBox(maskOf(labels, SEEDS[category]), 21);
  let hands: GrayImage = { ...labels, data: new Uint8Array(labels.data.length) };
  if (category !== "lowerbody") {
    const [left, right] = [drawnArm(labels, pose, "left", armWidth), drawnArm(labels, pose, "right", armWidth)];
    hands = union(left.hand, right.hand);
    const neck = dilateBox(maskOf(labels, [LABEL.neck]), 5);
    region = union(region, neck, dilateBox(union(left.arm, right.arm), 17));
  }
  const fixed = maskOf(labels, [
    ...(protect.bag === false ? [] : [LABEL.bag]),
    ...OTHERS[category],
    ...(protect.face === false ? [] : HEAD),
    ...(protect.shoes === false ? [] : SHOES),
    ...(protect.hair === true ? [LABEL.hair] : []),
  ]);
  const kept = protect.hands === false ? fixed : union(fixed, hands);
  return { mask: largestBlob(fillHoles(without(region, kept))), hands };
}

/** The blob with the largest simplified border, filled; of equal ones the lowest. */
function largestBlob(mask: GrayImage): GrayImage {
  const blob = filled(mask, findContours(mask));
  const borders = findContours(blob, { simplify: false });
  // A simplified border may cross itself, which leaves a hole of some pixels; the published masks have them.
  return borders.length > 1 ? filled(mask, borders) : blob;
}

/** The largest contour's inside. */
function filled(size: GrayImage, contours: readonly Contour[]): GrayImage {
  const out: GrayImage = { ...size, data: new Uint8Array(size.data.length) };
  let [best, bestArea]: [Contour | undefined, number] = [undefined, -1];
  for (const contour of contours) {
    const area = contourArea(contour.points);
    if (area >= bestArea) [best, bestArea] = [contour, area];
  }
  if (best) fillPolygon(out, best.points);
  return out;
}

/** What no mask may cover, by the switches; with lower garments the arms are kept whole. */
function protectedParts(
  labels: GrayImage,
  hands: GrayImage,
  category: Category,
  keep: Readonly<Record<"face" | "hands" | "shoes" | "hair" | "bag", boolean>>,
): GrayImage {
  const parts = maskOf(labels, [
    ...(keep.face ? HEAD : []),
    ...(keep.shoes ? SHOES : []),
    ...(keep.hair ? [LABEL.hair] : []),
    ...(keep.bag ? [LABEL.bag] : []),
    ...(keep.hands && category === "lowerbody" ? [LABEL.leftArm, LABEL.rightArm] : []),
  ]);
  return keep.hands ? union(parts, hands) : parts;
}

/** A mask that takes something of the picture and leaves something. `frame`: pixels at the edges that do not count. */
function checked(mask: GrayImage, frame: 0 | 1, empty: string): GrayImage {
  const { width, height, data } = mask;
  if (!data.includes(255)) throw new EmptyMaskError("mask", `nothing to paint: ${empty}`);
  for (let y = frame; y < height - frame; y++)
    for (let x = frame; x < width - frame; x++) if (data[y * width + x] === 0) return mask;
  throw new InputError("mask", "it covers the whole picture: nothing of the person would be kept");
}

function checkLabels({ width, height, data }: GrayImage): void {
  if (width < 1 || height < 1 || data.length !== width * height)
    throw new InputError("label map", `${data.length} bytes for ${width}x${height} pixels`);
  const wrong = data.findIndex((label) => label >= LABELS);
  if (wrong >= 0)
    throw new InputError(
      "label map",
      `${data[wrong]} at (${wrong % width}, ${Math.floor(wrong / width)}); labels are 0 to ${LABELS - 1}`,
    );
}

function checkPose(pose: Pose | undefined): void {
  if (!pose) return;
  if (pose.length !== 18) throw new InputError("key points", `${pose.length} of them; there must be 18`);
  const wrong = pose.findIndex(({ x, y }) => !Number.isFinite(x) || !Number.isFinite(y));
  if (wrong >= 0) throw new InputError("key points", `number ${wrong} is (${pose[wrong]!.x}, ${pose[wrong]!.y})`);
}

/** A level of grey that the pipeline takes for white. */
const WHITE = 127;

/**
 * The automatic mask with one that was given.
 * @param how - replace: the given one alone; add: both; subtract: the automatic one without the given one
 * @throws InputError when their sizes differ or the result covers the whole picture
 * @throws EmptyMaskError when nothing remains
 */
export function combineMasks(automatic: GrayImage, given: GrayImage, how: "replace" | "add" | "subtract"): GrayImage {
  const { width, height } = automatic;
  if (given.width !== width || given.height !== height)
    throw new InputError("mask", `${given.width}x${given.height} pixels, the automatic one has ${width}x${height}`);
  const data = automatic.data.map((value, i) => {
    const [mine, theirs] = [value >= WHITE, given.data[i]! >= WHITE];
    const on = how === "replace" ? theirs : how === "add" ? mine || theirs : mine && !theirs;
    return on ? 255 : 0;
  });
  return checked({ width, height, data }, 0, "the masks leave no pixel");
}
