import { FormatError } from "../../util/errors.ts";
import type { Category } from "../../vision/agnostic.ts";
import type { GrayImage } from "../../vision/image.ts";
import { LABEL } from "../../vision/labels.ts";
import { POSE_HEIGHT, POSE_WIDTH, type Pose } from "../../vision/pose.ts";

export type LayoutName = "VITON-HD" | "Dress Code";
export type Split = "train" | "test";
export type Order = "paired" | "unpaired";

/** A list of pairs, and what it is for. Paths are relative to the set's folder, with forward slashes. */
export interface PairList {
  readonly path: string;
  readonly layout: LayoutName;
  readonly split: Split;
  readonly order: Order;
  readonly category: Category;
}

export interface Pair {
  readonly person: string;
  readonly garment: string;
}

/** Dress Code's folders. */
export const FOLDERS: Readonly<Record<Category, string>> = {
  upperbody: "upper_body",
  lowerbody: "lower_body",
  dress: "dresses",
};

/** Every list that a set of a layout may have. */
export function listsOf(layout: LayoutName): PairList[] {
  if (layout === "VITON-HD") {
    const list = (path: string, split: Split, order: Order) => ({
      path,
      layout,
      split,
      order,
      category: "upperbody" as const,
    });
    return [
      list("train_pairs.txt", "train", "paired"),
      list("test_pairs.txt", "test", "paired"),
      list("test_pairs_unpaired.txt", "test", "unpaired"),
    ];
  }
  return Object.entries(FOLDERS).flatMap(([category, folder]) => {
    const list = (name: string, split: Split, order: Order) => ({
      path: `${folder}/${name}`,
      layout,
      split,
      order,
      category: category as Category,
    });
    return [
      list("train_pairs.txt", "train", "paired"),
      list("test_pairs_paired.txt", "test", "paired"),
      list("test_pairs_unpaired.txt", "test", "unpaired"),
    ];
  });
}

/**
 * The pairs of a list: a person's and a garment's picture per line, between them one space or tab. VITON-HD's own lists
 * name another garment beside each person: paired means the person's.
 * @param complain - receives each line that is none, instead of an error
 * @throws FormatError naming the first line that is none
 */
export function parsePairs(list: PairList, text: string, complain?: (what: string) => void): Pair[] {
  const pairs: Pair[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "") continue;
    const what = faultOf(words);
    if (what !== undefined) {
      if (!complain) throw new FormatError(list.path, `line ${i + 1} ${what}`);
      complain(`line ${i + 1} ${what}`);
      continue;
    }
    const [person, garment] = words as [string, string];
    const own = list.layout === "VITON-HD" && list.order === "paired";
    pairs.push({ person, garment: own ? person : garment });
  }
  return pairs;
}

function faultOf(words: readonly string[]): string | undefined {
  if (words.length !== 2) return `has ${words.length} words, not two file names`;
  const path = words.find((name) => /[/\\]|^\.+$/.test(name));
  return path === undefined ? undefined : `has "${path}", which is no file name`;
}

/** Where what belongs to a pair lies. */
export interface PairFiles {
  readonly person: string;
  readonly garment: string;
  /** A mask that came with the set. */
  readonly mask: string;
  /** What a mask can be made from. */
  readonly labels: string;
  readonly keyPoints: string;
  /** The person in the other garment: drawn sets know it. */
  readonly truth: string | undefined;
}

const stem = (name: string) => name.replace(/\.[^.]*$/, "");

export function filesOf({ layout, split, order, category }: PairList, { person, garment }: Pair): PairFiles {
  if (layout === "VITON-HD")
    return {
      person: `${split}/image/${person}`,
      garment: `${split}/cloth/${garment}`,
      mask: `${split}/agnostic-mask/${stem(person)}_mask.png`,
      labels: `${split}/image-parse-v3/${stem(person)}.png`,
      keyPoints: `${split}/openpose_json/${stem(person)}_keypoints.json`,
      truth: undefined,
    };
  const folder = FOLDERS[category];
  const number = stem(person).replace(/_0$/, "");
  return {
    person: `${folder}/images/${person}`,
    garment: `${folder}/images/${garment}`,
    mask: `${folder}/agnostic_masks/${stem(person)}.png`,
    labels: `${folder}/label_maps/${number}_4.png`,
    keyPoints: `${folder}/keypoints/${number}_2.json`,
    truth: order === "unpaired" ? `${folder}/truths/${person}` : undefined,
  };
}

/** LIP's labels as those of LABEL; of VITON-HD's label maps 10 is neck and chest. */
const FROM_LIP: readonly number[] = [
  LABEL.background,
  LABEL.hat,
  LABEL.hair,
  LABEL.leftArm, // a glove
  LABEL.sunglasses,
  LABEL.upper,
  LABEL.dress,
  LABEL.upper, // a coat
  LABEL.leftLeg, // socks
  LABEL.pants,
  LABEL.neck,
  LABEL.scarf,
  LABEL.skirt,
  LABEL.face,
  LABEL.leftArm,
  LABEL.rightArm,
  LABEL.leftLeg,
  LABEL.rightLeg,
  LABEL.leftShoe,
  LABEL.rightShoe,
];

/** How many labels LIP has. */
export const LIP_LABELS = FROM_LIP.length;

/** @param labels - 0…19 */
export const fromLip = (labels: GrayImage): GrayImage => ({
  ...labels,
  data: labels.data.map((label) => FROM_LIP[label]!),
});

/** BODY_25's joints in COCO's order: it has one more between the hips, and feet. */
const FROM_BODY_25 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];

/**
 * The joints of `{"people": [{"pose_keypoints_2d": 25 × [x, y, confidence]}]}`, in pixels of 384x512.
 * @param size - of the picture that the joints were found in
 * @throws FormatError in one line
 */
export function parseBody25(
  name: string,
  text: string,
  size: { readonly width: number; readonly height: number },
): Pose {
  let json: { people?: { pose_keypoints_2d?: unknown }[] } | null;
  try {
    json = JSON.parse(text) as typeof json;
  } catch {
    throw new FormatError(name, "is not JSON");
  }
  const numbers = json?.people?.[0]?.pose_keypoints_2d;
  if (!Array.isArray(numbers) || numbers.length !== 75 || !numbers.every((value) => Number.isFinite(value)))
    throw new FormatError(name, "holds no people[0].pose_keypoints_2d of 25 joints, three numbers each");
  return FROM_BODY_25.map((joint) => {
    const [x, y, confidence] = numbers.slice(3 * joint, 3 * joint + 3) as [number, number, number];
    if (confidence === 0) return { x: 0, y: 0 };
    return { x: (x * POSE_WIDTH) / size.width, y: (y * POSE_HEIGHT) / size.height };
  });
}
