import { stat } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../util/errors.ts";
import { packageInfo } from "./package.ts";

/** The folder given, or the small checkpoint that ships. @throws InputError when it is no folder */
export async function checkpointFolder(given: string | undefined): Promise<string> {
  const folder = given ?? join(packageInfo().root, "weights");
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory()) throw new InputError(folder, found ? "is not a folder" : "no such folder of checkpoints");
  return folder;
}
