import { readdir } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import {
  filesOf,
  type LayoutName,
  type Order,
  type PairFiles,
  type PairList,
  type Split,
} from "../../training/data/layouts.ts";
import type { Category } from "../../vision/agnostic.ts";
import { readImage, readMask } from "../images.ts";
import { layoutOf, listsIn, maskOf, maskSources, type MaskSource, readLabelMap, readList, readPose } from "./folder.ts";

/** Pairs of one list. */
export interface ListCount {
  readonly list: string;
  readonly split: Split;
  readonly order: Order;
  readonly category: Category;
  readonly pairs: number;
}

export interface Problem {
  /** Relative to the set's folder. */
  readonly file: string;
  readonly what: string;
}

/** What `checkDataset` found. */
export interface DatasetReport {
  /** Whose folders they are. */
  readonly layout: LayoutName;
  /** Pairs of each list. */
  readonly lists: readonly ListCount[];
  /** Which masks a training can have of every pair: made from label maps and key points, or the set's own. */
  readonly masks: readonly MaskSource[];
  /** Files that were opened or looked for. */
  readonly files: number;
  /** Files that are missing, misnamed or damaged. */
  readonly problems: readonly Problem[];
}

/** One person with all their files, to be decoded by whoever is free. */
export interface CheckTask {
  readonly root: string;
  readonly list: PairList;
  readonly files: PairFiles;
  /** Which of the files to decode; others are missing, or were decoded for another pair. */
  readonly decode: readonly (keyof PairFiles)[];
}

/** Names of a folder, read once. */
class Folders {
  readonly #root: string;
  readonly #names = new Map<string, Promise<ReadonlySet<string>>>();

  constructor(root: string) {
    this.#root = root;
  }

  async names(folder: string): Promise<ReadonlySet<string>> {
    const known = this.#names.get(folder);
    if (known) return known;
    const read = readdir(join(this.#root, folder)).then(
      (names) => new Set(names),
      () => new Set<string>(),
    );
    this.#names.set(folder, read);
    return read;
  }

  /** undefined when the file is there; else what is wrong, with the name that may have been meant. */
  async missing(path: string): Promise<string | undefined> {
    const names = await this.names(posix.dirname(path));
    const name = posix.basename(path);
    if (names.has(name)) return undefined;
    const plain = (text: string) => text.toLowerCase().replace(/\.[^.]*$/, "");
    const similar = [...names].find((other) => plain(other) === plain(name));
    return similar === undefined ? "is missing" : `is missing; there is ${similar}`;
  }
}

export interface CheckOptions {
  /** Whether every picture is decoded. Default: true. */
  readonly decode?: boolean;
  /** Runs the decoding of one person's files. Default: here. */
  readonly run?: (task: CheckTask) => Promise<readonly Problem[]>;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Looks at every file that a set's lists name.
 * @throws InputError when the folder is neither VITON-HD nor Dress Code
 */
export async function checkDataset(root: string, options: CheckOptions = {}): Promise<DatasetReport> {
  const { decode = true, run = decodeFiles, onProgress = () => {} } = options;
  const layout = await layoutOf(root);
  const folders = new Folders(root);
  const lists: ListCount[] = [];
  const problems: Problem[] = [];
  const tasks: CheckTask[] = [];
  const seen = new Set<string>();
  const all = await listsIn(root);
  for (const list of all) {
    const { path, split, order, category } = list;
    const isKnown = lists.some((other) => other.list === path); // one list may be of two orders: its faults are said once
    const pairs = await readList(root, list, (what) => isKnown || problems.push({ file: path, what }));
    lists.push({ list: path, split, order, category, pairs: pairs.length });
    if (pairs.length === 0) problems.push({ file: path, what: "names no pair" });
    const known = new Set<string>();
    for (const pair of pairs) {
      const line = `${pair.person} ${pair.garment}`;
      if (known.has(line)) problems.push({ file: path, what: `names ${line} twice` });
      known.add(line);
      tasks.push(await look(root, list, filesOf(list, pair), folders, seen, problems));
    }
  }
  let done = 0;
  const wanted = decode ? tasks.filter((task) => task.decode.length > 0) : [];
  const found = await inTurn(wanted, async (task) => {
    const result = await run(task);
    onProgress(++done, wanted.length);
    return result;
  });
  const masks = await maskSources(root, all);
  return { layout, lists, masks, files: seen.size, problems: [...problems, ...found.flat()] };
}

/** Which of a pair's files are to be decoded; notes those that are missing. */
async function look(
  root: string,
  list: PairList,
  files: PairFiles,
  folders: Folders,
  seen: Set<string>,
  problems: Problem[],
): Promise<CheckTask> {
  const has = async (path: string | undefined) => path !== undefined && (await folders.names(dirname(path))).size > 0;
  // A set has masks, or what they are made from, or both; a folder that is there is whole.
  const [masks, labels, truths] = [await has(files.mask), await has(files.labels), await has(files.truth)];
  const parts: (keyof PairFiles)[] = ["person", "garment"];
  if (masks) parts.push("mask");
  if (labels || !masks) parts.push("labels", "keyPoints");
  if (truths) parts.push("truth");
  const decode: (keyof PairFiles)[] = [];
  for (const part of parts) {
    const file = files[part]!;
    if (seen.has(file)) continue;
    seen.add(file);
    const what = await folders.missing(file);
    if (what === undefined) decode.push(part);
    else problems.push({ file, what });
  }
  return { root, list, files, decode };
}

/** Several at once, or a worker would wait for the next. Results in the order of the tasks. */
async function inTurn<T, R>(tasks: readonly T[], run: (task: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(tasks.length);
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < tasks.length; i = next++) results[i] = await run(tasks[i]!);
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  return results;
}

/** Decodes what a task names and says what is wrong with it. */
export async function decodeFiles({ root, list, files, decode }: CheckTask): Promise<Problem[]> {
  const problems: Problem[] = [];
  const attempt = async <T>(part: keyof PairFiles, read: () => Promise<T>): Promise<T | undefined> => {
    if (!decode.includes(part)) return undefined;
    return read().catch((error: Error) => {
      problems.push(problemOf(root, files[part]!, error));
      return undefined;
    });
  };
  const at = (part: keyof PairFiles) => join(root, files[part]!);
  const wanted = decode.includes("person");
  // Of a person in several lists the faults were said once; the others are still measured against them.
  const person = await (wanted
    ? attempt("person", () => readImage(at("person")))
    : readImage(at("person")).catch(() => undefined));
  await attempt("garment", () => readImage(at("garment")));
  const truth = await attempt("truth", () => readImage(at("truth")));
  const mask = await attempt("mask", () => readMask(at("mask")));
  const labels = await attempt("labels", () => readLabelMap(root, list, files));
  const pose = await attempt("keyPoints", () => readPose(root, list, files, person ?? FULL));
  const { category } = list;
  if (labels && pose) await attempt("labels", async () => maskOf(at("labels"), labels, pose, { category }));
  if (!person) return problems;
  for (const [part, image] of [
    ["truth", truth],
    ["mask", mask],
    ["labels", labels],
  ] as const)
    if (image && (image.width !== person.width || image.height !== person.height))
      problems.push({
        file: files[part]!,
        what: `${image.width}x${image.height} pixels, the person has ${person.width}x${person.height}`,
      });
  return problems;
}

const FULL = { width: 768, height: 1024 };

/** The file that an error names, else the one that was being read. */
function problemOf(root: string, file: string, error: Error): Problem {
  const prefix = `${root.replace(/\/+$/, "")}/`;
  const text = error.message.startsWith(prefix) ? error.message.slice(prefix.length) : `${file}: ${error.message}`;
  const end = text.indexOf(": ");
  return { file: text.slice(0, end), what: text.slice(end + 2) };
}
