import { open, readFile } from "node:fs/promises";
import type { Journal } from "../evaluation/evaluate.ts";
import { reasonOf } from "../node/files.ts";
import { InputError } from "../util/errors.ts";

/**
 * A journal in a file: one line of JSON a measurement, appended at once. A line that a killed process left unfinished
 * is passed over and measured again.
 * @throws InputError when the file cannot be read or written
 */
export async function openJournal(path: string): Promise<Journal & { close(): Promise<void> }> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw new InputError(path, reasonOf(error), { cause: error });
  });
  const known = new Map<string, string>();
  for (const line of text.split("\n")) {
    const entry = parse(line);
    if (entry) known.set(...entry);
  }
  const file = await open(path, "a").catch((error: NodeJS.ErrnoException) => {
    throw new InputError(path, reasonOf(error), { cause: error });
  });
  let torn = text !== "" && !text.endsWith("\n");
  return {
    get: (key) => known.get(key),
    put: async (key, value) => {
      known.set(key, value);
      const line = `${torn ? "\n" : ""}${JSON.stringify([key, value])}\n`;
      torn = false;
      await file.appendFile(line).catch((error: NodeJS.ErrnoException) => {
        throw new InputError(path, reasonOf(error), { cause: error });
      });
    },
    close: () => file.close(),
  };
}

function parse(line: string): [key: string, value: string] | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    if (Array.isArray(entry) && entry.length === 2 && entry.every((part) => typeof part === "string"))
      return entry as [string, string];
  } catch {
    // the end of a process that was killed
  }
  return undefined;
}
