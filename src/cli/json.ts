import { readFile } from "node:fs/promises";
import { reasonOf } from "../node/files.ts";
import { InputError } from "../util/errors.ts";

/** A JSON object from a file. @throws InputError that names the file */
export async function readJson(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new InputError(path, reasonOf(error), { cause: error });
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(path, `is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new InputError(path, "holds no JSON object");
  return value as Record<string, unknown>;
}
