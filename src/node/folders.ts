import { mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { InputError } from "../util/errors.ts";
import { reasonOf } from "./files.ts";

/**
 * Makes a folder and those above it. Level by level: Node's own recursive mkdir never ends where the parent exists and
 * takes no folders, as in /proc.
 * @param made - receives the folders that were not there
 * @throws InputError that names the folder and says why it cannot be made
 */
export async function makeFolder(folder: string, made: string[] = []): Promise<void> {
  const missing: string[] = [];
  for (let at = resolve(folder); !(await look(folder, at))?.isDirectory(); at = dirname(at)) missing.unshift(at);
  for (const level of missing) {
    const failure = await mkdir(level).catch((error: NodeJS.ErrnoException) => error);
    if (!(failure instanceof Error)) made.push(level);
    else if (!(await look(folder, level))?.isDirectory())
      throw new InputError(folder, `cannot be made: ${level}: ${reasonOf(failure)}`, { cause: failure });
  }
}

/** What is at a path, undefined when there is nothing. @throws InputError about `subject` when nobody can tell */
export async function look(subject: string, path: string) {
  return stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw new InputError(subject, `cannot be written: ${reasonOf(error)}`, { cause: error });
  });
}
