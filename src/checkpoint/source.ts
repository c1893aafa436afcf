import { FormatError, InputError } from "../util/errors.ts";
import type { ByteSource, Folder } from "../util/host.ts";

export type { ByteSource, Folder } from "../util/host.ts";

export interface TensorInfo {
  readonly name: string;
  /** As safetensors spells it: "F32", "BF16", "I64". */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** The tensors of a checkpoint, none of them read yet. */
export interface TensorSource {
  /** What errors call it: a file or folder name. */
  readonly name: string;
  /** In the order in which they lie in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The file's own notes, which safetensors keeps under `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Little-endian bytes of a tensor in row-major order, or of a part of it (`offset` and `length` in bytes). */
  read(name: string, offset?: number, length?: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Closes the file or files. */
  close(): Promise<void>;
}

/** A name from a file, safe to print on one line. */
export function quote(text: string): string {
  const short = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return `"${escapeControls(short).replaceAll('"', '\\"')}"`;
}

const escapeControls = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (control) => `\\u${control.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );

/** A refusal in one line that names the file. */
export const malformed = (file: string, what: string): FormatError => new FormatError(escapeControls(file), what);

/** Fails unless `length` bytes from `offset` lie inside the source. */
export function checkRange(source: ByteSource, offset: number, length: number): void {
  const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!sound || offset + length > source.size)
    throw malformed(source.name, `truncated: ${length} bytes wanted at ${offset}, the file has ${source.size}`);
}

/** Bytes in memory as a source. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  const source: ByteSource = {
    name,
    size: bytes.length,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length)); // a Buffer's own slice() would not copy
    },
  };
  return source;
}

/** A Blob or File, as browsers hand them out, as a source. */
export function blobSource(name: string, blob: Blob): ByteSource {
  const source: ByteSource = {
    name,
    size: blob.size,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      const bytes = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      if (bytes.length !== length) throw malformed(name, `gave ${bytes.length} of ${length} bytes at ${offset}`);
      return bytes;
    },
  };
  return source;
}

/**
 * A checkpoint's folder of files that somebody chose (`<input type="file" webkitdirectory>`) or dropped. The outermost
 * folder that all chosen files have in common does not count; a map's paths are taken as they are.
 */
export function filesFolder(name: string, given: Iterable<File> | ReadonlyMap<string, Blob>): Folder {
  const files = given instanceof Map ? (given as ReadonlyMap<string, Blob>) : byPath(given as Iterable<File>);
  const find = (path: string): Blob => {
    const file = files.get(path);
    if (!file) throw new InputError(name, `no file ${quote(path)}`);
    return file;
  };
  return {
    name,
    has: async (path) => files.has(path),
    open: async (path) => blobSource(path, find(path)),
    text: async (path) => find(path).text(),
  };
}

function byPath(chosen: Iterable<File>): ReadonlyMap<string, Blob> {
  const paths = [...chosen].map((file) => [file.webkitRelativePath || file.name, file] as const);
  const outermost = paths[0]?.[0].split("/")[0] ?? "";
  const isCommon = paths.every(([path]) => path.startsWith(`${outermost}/`));
  return new Map(paths.map(([path, file]) => [isCommon ? path.slice(outermost.length + 1) : path, file]));
}

/** The part of a tensor that a read asks for; fails when it is not inside the tensor. */
export function checkPart(file: string, tensor: TensorInfo, offset: number, length: number): void {
  const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!sound || offset + length > tensor.byteLength)
    throw new InputError(file, `${length} bytes at ${offset} of ${quote(tensor.name)}, which has ${tensor.byteLength}`);
}

/** The tensor of that name. */
export function findTensor<T extends TensorInfo>(file: string, tensors: ReadonlyMap<string, T>, name: string): T {
  const tensor = tensors.get(name);
  if (!tensor) throw new InputError(file, `no tensor ${quote(name)}`);
  return tensor;
}
