import { augmented, type AugmentOptions } from "../../training/data/augment.ts";
import { interleaved, type TryOnDataset, type TryOnSample } from "../../training/data/dataset.ts";
import { drawnDataset, type DrawnOptions } from "../../training/data/drawn.ts";
import { decodeFiles, type CheckTask, type Problem } from "./check.ts";
import { folderDataset, type FolderOptions } from "./folder.ts";
import { writePair, type WriteOptions } from "./write.ts";

/** A data set in words, which another thread can open. */
export type DatasetSpec = (
  | ({ readonly kind: "drawn" } & DrawnOptions)
  | ({ readonly kind: "folder"; readonly root: string } & FolderOptions)
  | { readonly kind: "interleaved"; readonly sets: readonly DatasetSpec[]; readonly most?: number }
) & { readonly augment?: AugmentOptions & { readonly seed: number } };

/**
 * Opens the set that the words name.
 * @throws InputError for options that cannot be meant, and a folder that is no data set
 */
export async function openDataset(spec: DatasetSpec): Promise<TryOnDataset> {
  const dataset = await plainDataset(spec);
  return spec.augment ? augmented(dataset, spec.augment) : dataset;
}

async function plainDataset(spec: DatasetSpec): Promise<TryOnDataset> {
  if (spec.kind === "drawn") return drawnDataset(spec);
  if (spec.kind === "folder") return folderDataset(spec.root, spec);
  return interleaved(await Promise.all(spec.sets.map(openDataset)), spec.most);
}

/** What a thread can be asked for. */
export type Task =
  | { readonly do: "sample"; readonly spec: DatasetSpec; readonly index: number; readonly epoch: number }
  | { readonly do: "check"; readonly task: CheckTask }
  | { readonly do: "write"; readonly root: string; readonly index: number; readonly options: WriteOptions };

export type Result = TryOnSample | readonly Problem[] | undefined;

/** Sets that were opened, by their words. */
const open = new Map<string, Promise<TryOnDataset>>();

export async function perform(task: Task): Promise<Result> {
  if (task.do === "check") return decodeFiles(task.task);
  if (task.do === "write") return writePair(task.root, task.index, task.options).then(() => undefined);
  const key = JSON.stringify(task.spec);
  const known = open.get(key) ?? openDataset(task.spec);
  open.set(key, known);
  return (await known).get(task.index, task.epoch);
}
