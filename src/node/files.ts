import { randomBytes } from "node:crypto";
import { open, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { checkRange, malformed, type ByteSource, type Folder } from "../checkpoint/source.ts";
import { InputError } from "../util/errors.ts";
import type { FileContent } from "../util/host.ts";

/** Bytes of one system call: Linux and libuv refuse 2 GiB. */
const CHUNK = 2 ** 30;

/**
 * A file as a source of bytes. It stays open until `close()`.
 * @throws InputError when there is no such file or it is a folder, a pipe or a device
 */
export async function fileSource(path: string): Promise<ByteSource & { close(): Promise<void> }> {
  const { size } = await regularFile(path);
  const handle = await open(path).catch((error: unknown) => Promise.reject(explain(path, error)));
  const source = {
    name: path,
    size,
    read: async (offset: number, length: number) => {
      checkRange(source, offset, length);
      const bytes = new Uint8Array(length); // zeros: a short read must not show old memory
      for (let at = 0; at < length;) {
        const { bytesRead } = await handle.read(bytes, at, Math.min(CHUNK, length - at), offset + at);
        if (bytesRead === 0)
          throw malformed(path, `truncated while it was read: ends at ${offset + at} instead of ${size}`);
        at += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
  return source;
}

/** A directory as a checkpoint's folder. */
export function directory(path: string): Folder {
  const root = resolve(path);
  const inside = (name: string): string => {
    const full = resolve(root, name);
    if (full !== root && !full.startsWith(root.endsWith(sep) ? root : root + sep))
      throw new InputError(path, `${name} lies outside the folder`);
    return full;
  };
  return {
    name: path,
    has: async (name) => {
      const found = await stat(inside(name)).catch(() => undefined);
      return found?.isFile() ?? false;
    },
    open: async (name) => fileSource(inside(name)),
    text: async (name) => {
      const full = inside(name);
      await regularFile(full);
      return readFile(full, "utf8").catch((error: unknown) => Promise.reject(explain(full, error)));
    },
  };
}

/**
 * Writes a file whole or not at all: into a temporary file beside it, to the disk, then under its name.
 * @throws InputError that names the file and says why it cannot be written
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  await writeFilesAtomic([[path, content]]);
}

/**
 * Writes files that belong together: every one is on the disk under a temporary name before the first gets its own,
 * so that a full disk leaves none of them.
 * @throws InputError that names the file and says why it cannot be written
 */
export async function writeFilesAtomic(files: Iterable<readonly [path: string, content: FileContent]>): Promise<void> {
  const staged: { readonly path: string; readonly temporary: string }[] = [];
  try {
    for (const [path, content] of files) {
      const temporary = temporaryName(path);
      staged.push({ path, temporary });
      await stage(temporary, content).catch((error: unknown) => Promise.reject(explain(path, error)));
    }
    for (const { path, temporary } of staged)
      await rename(temporary, path).catch((error: unknown) => Promise.reject(explain(path, error)));
  } catch (error) {
    for (const { temporary } of staged) await unlink(temporary).catch(() => undefined);
    throw error;
  }
  for (const folder of new Set(staged.map(({ path }) => dirname(path)))) await syncFolder(folder);
}

/** Beside the file, and short: the file's own name may be as long as names can be. */
const temporaryName = (path: string) => join(dirname(path), `.${randomBytes(6).toString("hex")}.tmp`);

async function stage(path: string, content: FileContent): Promise<void> {
  const handle = await open(path, "wx");
  try {
    for await (const piece of content instanceof Uint8Array ? [content] : content)
      for (let at = 0; at < piece.length;)
        at += (await handle.write(piece, at, Math.min(CHUNK, piece.length - at))).bytesWritten;
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes the new name itself survive a power cut, where the system lets a folder be synced. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path).catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

/** Size of a regular file; opening a pipe would wait for ever. */
async function regularFile(path: string): Promise<{ size: number }> {
  const found = await stat(path).catch((error: unknown) => Promise.reject(explain(path, error)));
  if (!found.isFile())
    throw new InputError(path, found.isDirectory() ? "is a folder, not a file" : "is not a regular file");
  return found;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or folder",
  ENOTDIR: "a part of the path is not a folder",
  EISDIR: "is a folder, not a file",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left on the disk",
  ENAMETOOLONG: "the name is too long",
};

/** Why a system call failed, in words. */
export const reasonOf = (error: NodeJS.ErrnoException): string => REASONS[String(error.code)] ?? error.message;

/** A system error as one line; other errors stay what they are. */
export function explain(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  return new InputError(path, reasonOf(error as NodeJS.ErrnoException), { cause: error });
}
