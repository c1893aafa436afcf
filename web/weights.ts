import type { ByteSource, Folder } from "toile";
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

/** The files of one model, whole, from the page's own origin. */
export async function fetchCheckpoint(
  base: string,
  manifest: Manifest,
  model: Model,
  { signal, onProgress }: FetchOptions,
): Promise<Folder> {
  const other = folderOf(model === "hd" ? "dc" : "hd");
  const wanted = manifest.files.filter(({ path }) => !path.startsWith(other) && !path.startsWith("training/"));
  const total = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const files = new Map<string, Blob>();
  for (const { path, bytes } of wanted) {
    const response = await fetch(new URL(path, base), { signal });
    if (!response.ok) throw new Error(`${path} cannot be fetched: ${response.status}`);
    const blob = await response.blob();
    if (blob.size !== bytes) throw new Error(`${path} has ${blob.size} bytes, the manifest says ${bytes}`);
    files.set(path, blob);
    done += bytes;
    onProgress(done, total);
  }
  return blobFolder(manifest.name, files);
}

function blobFolder(name: string, files: ReadonlyMap<string, Blob>): Folder {
  const find = (path: string): Blob => {
    const blob = files.get(path);
    if (!blob) throw new Error(`${name}: no file ${path}`);
    return blob;
  };
  const open = async (path: string): Promise<ByteSource> => {
    const blob = find(path);
    const read = async (offset: number, length: number) =>
      new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    return { name: path, size: blob.size, read };
  };
  return { name, has: async (path) => files.has(path), open, text: async (path) => find(path).text() };
}
