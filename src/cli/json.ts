import { readFile } from "node:fs/promises";
import { reasonOf } from "../node/files.ts";
import { InputError } from "../util/errors.ts";
import { parseObject } from "../util/json.ts";

/** A JSON object from a file. @throws InputError that names the file */
export async function readJson(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new InputError(path, reasonOf(error), { cause: error });
  });
  return parseObject(text, (what) => new InputError(path, what));
}
