import { cacheStore, remoteFolder, type Folder } from "toile";
import type { Model } from "./protocol.ts";

/** What of a checkpoint's manifest.json the page reads. */
export interface Manifest {
  readonly name: string;
  readonly trained: boolean;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
}

interface FetchOptions {
  readonly signal: AbortSignal;
  /** Bytes. */
  readonly onProgress: (done: number, total: number) => void;
}

export async function fetchManifest(base: string): Promise<Manifest> {
  const response = await fetch(new URL("manifest.json", base));
  if (!response.ok) throw new Error(`the checkpoint's manifest.json cannot be fetched: ${response.status}`);
  return (await response.json()) as Manifest;
}

const folderOf = (model: Model) => `ootd/ootd_${model}/`;

/** The models that the checkpoint holds. */
export const modelsOf = ({ files }: Manifest): Model[] =>
  (["hd", "dc"] as const).filter((model) => files.some(({ path }) => path.startsWith(folderOf(model))));

/** The files of one model, whole, from the page's own origin; kept for the next visit where the browser keeps things. */
export async function fetchCheckpoint(
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
