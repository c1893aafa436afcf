import { cacheStore, filesFolder, remoteFolder, type Folder } from "toile";
import type { Checkpoint, ChosenFolder, Model, Sampling } from "./protocol.ts";

/** A checkpoint that the page can use. */
export interface Source extends Checkpoint {
  /** The files of one model. */
  open(model: Model, options: FetchOptions): Promise<Folder>;
}

/** What of a checkpoint's manifest.json the page reads. */
interface Manifest {
  readonly name: string;
  readonly trained: readonly Model[];
  readonly sampling?: Sampling;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
}

interface FetchOptions {
  /** Asked at each fetch. */
  readonly signal: () => AbortSignal | undefined;
  /** Bytes. */
  readonly onProgress: (done: number, total: number) => void;
}

const folderOf = (model: Model) => `ootd/ootd_${model}/`;

const modelsAmong = (paths: readonly string[]): Model[] =>
  (["hd", "dc"] as const).filter((model) => paths.some((path) => path.startsWith(folderOf(model))));

/** The checkpoint that lies beside the page. */
export async function shippedSource(base: string): Promise<Source> {
  const response = await fetch(new URL("manifest.json", base));
  if (!response.ok) throw new Error(`the checkpoint's manifest.json cannot be fetched: ${response.status}`);
  const manifest = (await response.json()) as Manifest;
  const { name: checkpoint, trained, sampling, files } = manifest;
  const open = (model: Model, options: FetchOptions) => fetchCheckpoint(base, manifest, model, options);
  return { checkpoint, trained, sampling, models: modelsAmong(files.map(({ path }) => path)), open };
}

/** One from somebody's disk. Its files stay there: only what the model needs is read. */
export function chosenSource({ name, files }: ChosenFolder): Source {
  const models = modelsAmong([...files.keys()]);
  if (models.length === 0)
    throw new Error(`${name}: no ootd/ootd_hd or ootd/ootd_dc in it: choose the folder in which ootd lies`);
  return { checkpoint: name, trained: models, models, sampling: undefined, open: async () => filesFolder(name, files) };
}

/** The files of one model, whole, from the page's own origin; kept for the next visit where the browser keeps things. */
async function fetchCheckpoint(
  base: string,
  manifest: Manifest,
  model: Model,
  { signal, onProgress }: FetchOptions,
): Promise<Folder> {
  const other = folderOf(model === "hd" ? "dc" : "hd");
  const wanted = manifest.files.filter(({ path }) => !/^(training\/|README)/.test(path) && !path.startsWith(other));
  const total = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
  const come = new Map<string, number>();
  const folder = await remoteFolder(base, {
    signal,
    store: "caches" in globalThis ? cacheStore(await caches.open("toile")) : undefined, // only where the page is secure
    onProgress: (path, bytes) => {
      come.set(path, bytes);
      onProgress(
        Math.min(
          total,
          [...come.values()].reduce((a, b) => a + b, 0),
        ),
        total,
      );
    },
  });
  for (const { path, bytes } of wanted) {
    await folder.open(path);
    come.set(path, bytes); // those that were kept do not come
    onProgress(
      Math.min(
        total,
        [...come.values()].reduce((a, b) => a + b, 0),
      ),
      total,
    );
  }
  return folder;
}
