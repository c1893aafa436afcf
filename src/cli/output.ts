import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, open, rmdir, unlink } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { reasonOf, writeFilesAtomic } from "../node/files.ts";
import { look, makeFolder } from "../node/folders.ts";
import { InputError } from "../util/errors.ts";
import { UsageError } from "./errors.ts";
import type { FileContent } from "../util/host.ts";

// A run of minutes must not fail at its end for want of a place to write to: places are tried before it begins.

/**
 * Throws unless files of these names can be written into a folder, which need not exist yet. Leaves nothing.
 * @throws InputError that names the folder and says why
 */
export async function checkFolder(folder: string, names: readonly string[] = []): Promise<void> {
  const at = await nearestFolder(folder);
  await probe(folder, at);
  for (const name of names) {
    const path = join(folder, name);
    const found = await look(path, path);
    if (found?.isDirectory()) throw new InputError(path, "is a folder, and a file of that name is to be written");
  }
}

/** The same for one file in a folder that exists. */
export async function checkFile(path: string): Promise<void> {
  const parent = dirname(resolve(path));
  if (!(await look(path, parent))) throw new InputError(path, "its folder does not exist");
  if ((await look(path, path))?.isDirectory()) throw new InputError(path, "is a folder, not a file");
  await checkFolder(parent).catch((error: InputError) => {
    throw new InputError(path, error.message);
  });
}

/**
 * Refuses a file of the user's that would overwrite another one of the same run, or be where a folder is needed.
 * @param option - for the message
 * @param files - what else the run reads and writes
 */
export function refuseCollision(option: string, path: string, files: readonly string[]): void {
  const own = resolve(path);
  const other = files.find((file) => resolve(file) === own || resolve(file).startsWith(own + sep));
  if (other !== undefined)
    throw new UsageError(`${option} "${path}" would take the place of ${other}: give it another name`);
}

export const isInside = (path: string, folder: string): boolean => resolve(path).startsWith(resolve(folder) + sep);

/** Writes files that belong together, all or none, and makes their folders. */
export async function writeAll(files: readonly (readonly [path: string, content: FileContent])[]): Promise<void> {
  const made: string[] = [];
  try {
    for (const folder of new Set(files.map(([path]) => dirname(resolve(path))))) await makeFolder(folder, made);
    await writeFilesAtomic(files);
  } catch (error) {
    for (const folder of made.reverse()) await rmdir(folder).catch(() => undefined);
    throw error;
  }
}

async function nearestFolder(folder: string): Promise<string> {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = await look(folder, at);
    if (found && !found.isDirectory()) throw new InputError(folder, `${at} is not a folder`);
    if (found) return at;
  }
}

/** Permissions say little about read-only, full and virtual file systems: only a file tells. */
async function probe(subject: string, folder: string): Promise<void> {
  const file = join(folder, `.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await access(folder, constants.W_OK | constants.X_OK);
    await (await open(file, "wx")).close();
    await unlink(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "it takes no files" : reasonOf(error as NodeJS.ErrnoException);
    throw new InputError(subject, `cannot be written: ${folder}: ${why}`, { cause: error });
  }
}

/** Milliseconds to a tenth, for a report. */
export const roundAll = (times: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, Math.round(ms * 10) / 10]));
