import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { drawnMask, drawnName, drawnTruth, OTHER, sceneOf, type DrawnOptions } from "../../training/data/drawn.ts";
import { paintFlat } from "../../training/data/draw/flat.ts";
import { paintPerson } from "../../training/data/draw/scene.ts";
import { filesOf, FOLDERS, listsOf, type PairList } from "../../training/data/layouts.ts";
import { InputError } from "../../util/errors.ts";
import type { Category } from "../../vision/agnostic.ts";
import type { GrayImage, RgbImage } from "../../vision/image.ts";
import { reasonOf, writeFileAtomic } from "../files.ts";
import { makeFolder } from "../folders.ts";
import { encodeJpeg, encodePng } from "../images.ts";

/** A drawn set as files. */
export interface WriteOptions extends DrawnOptions {
  readonly length: number;
  readonly categories: readonly Category[];
  readonly format: "jpg" | "png";
  /** How many of the pairs, the last ones, are for testing. */
  readonly test: number;
}

/** Of JPEG files: edges of masks must stay clean. */
const QUALITY = 95;

const namesOf = (index: number, format: string) => {
  const name = drawnName(index);
  return { person: `${name}_0.${format}`, own: `${name}_1.${format}`, other: `${name}_${OTHER}.${format}` };
};

/** The folders of a set, before its pairs are written. Lists of an older set go: what is being written is none yet. */
export async function prepareSet(root: string, { categories }: WriteOptions): Promise<void> {
  for (const folder of Object.values(FOLDERS))
    if ((await readdir(join(root, folder)).catch(() => [])).length > 0)
      throw new InputError(
        root,
        `holds ${folder} of a set already: draw into a folder of its own, nothing is written over`,
      );
  for (const category of categories)
    for (const part of ["images", "label_maps", "keypoints", "agnostic_masks", "truths"])
      await makeFolder(join(root, FOLDERS[category], part));
}

/** Draws and writes one pair: the person, both garments, label map, key points, mask, and the person in the other one. */
export async function writePair(root: string, index: number, options: WriteOptions): Promise<void> {
  const { width, height, format } = options;
  const scene = sceneOf(options, index);
  const worn = paintPerson(scene, "garment", width, height);
  const mask = drawnMask(scene, worn, options);
  const list = listsOf("Dress Code").find(
    ({ category, order }) => category === scene.category && order === "unpaired",
  )!;
  const names = namesOf(index, format);
  const files = filesOf(list, { person: names.person, garment: names.other });
  const own = filesOf(list, { person: names.person, garment: names.own }).garment;
  const put = async (path: string, bytes: Uint8Array) =>
    writeFile(join(root, path), bytes).catch((cause: NodeJS.ErrnoException) => {
      throw new InputError(join(root, path), `cannot be written: ${reasonOf(cause)}`, { cause });
    });
  const picture = async (path: string, image: RgbImage) =>
    put(path, await (format === "jpg" ? encodeJpeg(image, QUALITY) : encodePng(image)));
  const grey = async (path: string, image: GrayImage) => put(path, await encodePng(image));
  const points = { pose_keypoints_2d: worn.pose.map(({ x, y }) => [x, y]) };
  await Promise.all([
    picture(files.person, worn.person),
    picture(own, paintFlat(scene.garment, width, height)),
    picture(files.garment, paintFlat(scene.other, width, height)),
    picture(files.truth!, drawnTruth(scene, worn, mask)),
    grey(files.labels, worn.labels),
    grey(files.mask, mask),
    put(files.keyPoints, new TextEncoder().encode(`${JSON.stringify(points)}\n`)),
  ]);
}

/** The lists of pairs, written last: a set that has them is whole. */
export async function writeLists(root: string, options: WriteOptions): Promise<void> {
  const { categories, length, test, format } = options;
  for (const list of listsOf("Dress Code").filter(({ category }) => categories.includes(category))) {
    const lines = Array.from({ length }, (_, index) => index)
      .filter((index) => categories[index % categories.length] === list.category && isIn(list, index, length - test))
      .map((index) => namesOf(index, format))
      .map(({ person, own, other }) => `${person}\t${list.order === "paired" ? own : other}\n`);
    if (lines.length > 0) await writeFileAtomic(join(root, list.path), new TextEncoder().encode(lines.join("")));
  }
}

const isIn = ({ split }: PairList, index: number, train: number): boolean => (split === "train") === index < train;
