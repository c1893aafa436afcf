import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  filesOf,
  fromLip,
  LIP_LABELS,
  listsOf,
  parseBody25,
  parsePairs,
  type LayoutName,
  type Order,
  type Pair,
  type PairFiles,
  type PairList,
  type Split,
} from "../../training/data/layouts.ts";
import type { TryOnDataset, TryOnSample } from "../../training/data/dataset.ts";
import { trainingMask, type TrainingMaskOptions } from "../../training/data/mask.ts";
import { InputError, ToileError } from "../../util/errors.ts";
import type { Category } from "../../vision/agnostic.ts";
import { binarise, type GrayImage } from "../../vision/image.ts";
import { parseKeyPoints } from "../../vision/keypoints.ts";
import { LABEL } from "../../vision/labels.ts";
import type { Pose } from "../../vision/pose.ts";
import { resize } from "../../vision/resize.ts";
import { directory } from "../files.ts";
import { readImage, readMask } from "../images.ts";
import { readLabels, readStoredLabels } from "../labels.ts";

/** Which samples of a folder, and at which size. */
export interface FolderOptions {
  /** Which part of the set. */
  readonly split: Split;
  /** paired: each person with what they wear. */
  readonly order: Order;
  /** Pixels to which pictures are resized. */
  readonly width: number;
  /** Pixels to which pictures are resized. */
  readonly height: number;
  /** Of those that the set has. Default: all of them. */
  readonly categories?: readonly Category[];
  /** given: the set's own masks; none: all zeros; or how to make them from its label maps and key points. */
  readonly mask?: "given" | "none" | TrainingMaskOptions;
}

/** Where masks come from: made from label maps and key points, or the set's own. */
export type MaskSource = "made" | "given";

const exists = async (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Which layout a folder has. @throws InputError when it has none */
export async function layoutOf(root: string): Promise<LayoutName> {
  const found = await stat(root).catch(() => undefined);
  if (!found?.isDirectory()) throw new InputError(root, "no such folder");
  // Dress Code first: some releases have lists of VITON-HD's names in their root too
  for (const layout of ["Dress Code", "VITON-HD"] as const)
    for (const { path } of listsOf(layout)) if (await exists(join(root, path))) return layout;
  throw new InputError(
    root,
    "neither VITON-HD (train_pairs.txt, test_pairs.txt) nor Dress Code (upper_body/train_pairs.txt, …)",
  );
}

/**
 * The lists that a set has. VITON-HD as it is handed out has one for testing, whose garments are other ones: it is also
 * the unpaired list of a set that has none of its own.
 */
export async function listsIn(root: string): Promise<PairList[]> {
  const lists = listsOf(await layoutOf(root));
  const there = await Promise.all(lists.map(async ({ path }) => exists(join(root, path))));
  const found = lists.filter((_, i) => there[i]);
  const test = found.find(({ layout, split }) => layout === "VITON-HD" && split === "test");
  if (test?.order !== "paired" || found.some(({ order }) => order === "unpaired")) return found;
  const unpaired: PairList = { ...test, order: "unpaired" };
  const pairs = await readList(root, unpaired, () => {}); // its faults are said by whoever reads it as what it is
  return pairs.some(({ person, garment }) => person !== garment) ? [...found, unpaired] : found;
}

/** Which masks there can be of every pair of some lists: what they need lies in folders of its own. */
export async function maskSources(root: string, lists: readonly PairList[]): Promise<MaskSource[]> {
  const isFilled = async (file: string) => (await readdir(join(root, dirname(file))).catch(() => [])).length > 0;
  const needs = lists.map((list) => filesOf(list, { person: "any", garment: "any" }));
  const all = async (files: readonly string[]) => (await Promise.all(files.map(isFilled))).every(Boolean);
  const made = await all(needs.flatMap(({ labels, keyPoints }) => [labels, keyPoints]));
  return [
    ...(made ? ["made" as const] : []),
    ...((await all(needs.map(({ mask }) => mask))) ? ["given" as const] : []),
  ];
}

export async function readList(root: string, list: PairList, complain?: (what: string) => void): Promise<Pair[]> {
  return parsePairs(list, await directory(root).text(list.path), complain);
}

/** The lists of a set that are asked for. */
export const chosenLists = async (root: string, { split, order, categories }: FolderOptions): Promise<PairList[]> =>
  (await listsIn(root)).filter(
    (list) => list.split === split && list.order === order && (categories?.includes(list.category) ?? true),
  );

interface Entry {
  readonly list: PairList;
  readonly pair: Pair;
}

/**
 * VITON-HD or Dress Code in the folders in which they are handed out.
 * @throws InputError when the folder is neither, or has no pairs of what is asked for; FormatError for a torn list
 */
export async function folderDataset(root: string, options: FolderOptions): Promise<TryOnDataset> {
  const { split, order, categories } = options;
  const lists = await chosenLists(root, options);
  const entries: Entry[] = [];
  for (const list of lists) for (const pair of await readList(root, list)) entries.push({ list, pair });
  if (entries.length === 0)
    throw new InputError(root, `no ${order} pairs of ${split}${categories ? ` for ${categories.join(", ")}` : ""}`);
  return {
    length: entries.length,
    get: async (index) => {
      const entry = entries[index];
      if (!entry) throw new InputError(root, `no sample ${index} among ${entries.length}`);
      return readSample(root, entry, options);
    },
  };
}

async function readSample(root: string, { list, pair }: Entry, options: FolderOptions): Promise<TryOnSample> {
  const { width, height, mask = {} } = options;
  const files = filesOf(list, pair);
  const read = async (path: string) => resize(await readImage(join(root, path)), width, height, "bicubic");
  const [original, garment] = await Promise.all([readImage(join(root, files.person)), read(files.garment)]);
  const person = resize(original, width, height, "bicubic");
  const isKnown = files.truth !== undefined && (await exists(join(root, files.truth)));
  const truth = list.order === "paired" ? person : isKnown ? await read(files.truth!) : undefined;
  const { category } = list;
  const shared = { person, garment, truth, category, names: pair };
  if (mask === "none" || mask === "given") {
    const own =
      mask === "none"
        ? { width, height, data: new Uint8Array(width * height) }
        : resize(binarise(await readMask(join(root, files.mask))), width, height, "nearest");
    return { ...shared, mask: own, labels: undefined, pose: undefined };
  }
  const labels = resize(await readLabelMap(root, list, files), width, height, "nearest");
  const pose = await readPose(root, list, files, original);
  const made = maskOf(join(root, files.labels), labels, pose, { ...mask, category });
  return { ...shared, mask: made, labels, pose };
}

/** Labels of what may be worn where a garment of a category goes. */
const WORN: Readonly<Record<Category, readonly number[]>> = {
  upperbody: [LABEL.upper, LABEL.dress],
  lowerbody: [LABEL.skirt, LABEL.pants],
  dress: [LABEL.upper, LABEL.skirt, LABEL.pants, LABEL.dress],
};

/** The mask of a person. @throws InputError that names the label map which makes none */
export function maskOf(
  name: string,
  labels: GrayImage,
  pose: Pose,
  options: TrainingMaskOptions & { readonly category: Category },
): GrayImage {
  try {
    return trainingMask(labels, pose, options, WORN[options.category]);
  } catch (cause) {
    if (!(cause instanceof ToileError)) throw cause;
    throw new InputError(name, cause.message, { cause });
  }
}

/** A person's label map in LABEL's numbers. */
export async function readLabelMap(root: string, list: PairList, { labels }: PairFiles): Promise<GrayImage> {
  const path = join(root, labels);
  return list.layout === "VITON-HD" ? fromLip(await readStoredLabels(path, LIP_LABELS)) : readLabels(path);
}

/** A person's key points. @param size - the person's */
export async function readPose(
  root: string,
  list: PairList,
  { keyPoints }: PairFiles,
  size: { readonly width: number; readonly height: number },
): Promise<Pose> {
  const path = join(root, keyPoints);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new InputError(path, "cannot be read: no such file", { cause });
  });
  if (list.layout === "VITON-HD") return parseBody25(path, text, size);
  // Joints that were not found have negative numbers in some releases.
  return parseKeyPoints(path, text).map((point) => (point.x < 0 || point.y < 0 ? { x: 0, y: 0 } : point));
}
