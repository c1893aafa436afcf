import { chosenLists, maskSources, type MaskSource } from "../node/data/folder.ts";
import { threadedDataset } from "../node/data/pool.ts";
import { openDataset, type DatasetSpec } from "../node/data/tasks.ts";
import type { TryOnModel } from "../pipelines/components.ts";
import { CATEGORIES } from "../pipelines/conditioning.ts";
import type { TryOnDataset } from "../training/data/dataset.ts";
import type { DrawnOptions } from "../training/data/drawn.ts";
import { UsageError } from "./errors.ts";
import type { LoopArguments } from "./train_options.ts";

// The pairs that trainings learn from, and those that nothing learns from.

/** Held-out pairs are drawn with a seed that no training uses. */
export const HELD_OUT = 0xb0a710ad;

/** Which people a set shows: tops on half figures, all categories on whole ones, or both in turn. */
export type Shown = keyof typeof FIGURES | "both";

const FIGURES = {
  half: { categories: ["upperbody"], framing: "half" },
  whole: { categories: CATEGORIES, framing: "whole" },
} as const satisfies Record<string, Partial<DrawnOptions>>;

const modelOf = (shown: Shown): TryOnModel => (shown === "half" ? "hd" : "dc");

type DrawnChoice = Pick<DrawnOptions, "seed" | "width" | "height" | "length" | "pairing">;

/** How pairs of a kind of figure are drawn. A model for half figures spares less of them in its masks. */
export const drawnOptions = (shown: keyof typeof FIGURES, options: DrawnChoice): DrawnOptions => ({
  ...{ ...options, ...FIGURES[shown] },
  mask: { model: modelOf(shown) },
});

/** Drawn pairs of what is shown, in words. */
function drawnSpec(shown: Shown, { length, ...options }: DrawnChoice): DatasetSpec {
  if (shown !== "both") return { kind: "drawn", ...drawnOptions(shown, { ...options, ...(length && { length }) }) };
  const each = { ...options, ...(length && { length: Math.ceil(length / 2) }) };
  const sets = [drawnSpec("half", each), drawnSpec("whole", each)];
  return { kind: "interleaved", sets, ...(length && { most: length }) };
}

/** Pairs that no training sees: drawn people, with a seed of their own. */
export const heldOutPairs = (shown: Shown, choice: Omit<DrawnChoice, "seed">): Promise<TryOnDataset> =>
  openDataset(drawnSpec(shown, { seed: HELD_OUT, ...choice }));

/** Where masks come from, or that none are needed. */
type Masks = MaskSource | "none";

/** The pairs that the options name, read or drawn by threads beside the one that feeds the device. */
export async function openPairs(options: LoopArguments, shown: Shown, masks: Masks): Promise<TryOnDataset> {
  const { augment, seed, dataloader_num_workers: workers } = options;
  const spec = specOf(options, shown, masks);
  if (spec.kind === "folder" && masks !== "none") await checkMasks(spec, masks);
  return threadedDataset({ ...spec, ...(augment && { augment: { seed } }) }, { workers });
}

function specOf(options: LoopArguments, shown: Shown, masks: Masks): DatasetSpec {
  const { dataset_dir: root, drawn: length, drawn_seed: seed, width, height } = options;
  if ((root === undefined) === (length === undefined))
    throw new UsageError("--dataset_dir or --drawn is needed, and not both");
  if (seed === HELD_OUT) throw new UsageError(`--drawn_seed ${seed} draws the held-out pairs: take another one`);
  if (root === undefined)
    return drawnSpec(shown, { seed, width, height, length: length!, pairing: shown === "both" ? "paired" : "mixed" });
  const categories = shown === "half" ? (["upperbody"] as const) : CATEGORIES;
  const mask = masks === "made" ? { model: modelOf(shown) } : masks;
  return { kind: "folder", root, split: "train", order: "paired", width, height, categories, mask };
}

/** Says at once what would be a missing file of the first pair, and what the set has instead. */
async function checkMasks(spec: DatasetSpec & { readonly kind: "folder" }, masks: MaskSource): Promise<void> {
  const found = await maskSources(spec.root, await chosenLists(spec.root, spec));
  const [other] = found;
  if (other === undefined || found.includes(masks)) return;
  const needs = masks === "made" ? "label maps and key points" : "masks in the set";
  throw new UsageError(`--masks ${masks} needs ${needs}, which ${spec.root} has not: use --masks ${other}`);
}
