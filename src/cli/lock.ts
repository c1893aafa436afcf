import { open, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../node/folders.ts";
import { UsageError } from "./errors.ts";

const LOCK = "training.lock";

/**
 * Makes this the only process that trains into a folder: another one would remove what it has begun to write. What a
 * killed process left is taken over.
 * @returns what lets go of the folder
 * @throws UsageError while another process has it
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK);
  await makeFolder(folder);
  for (;;) {
    const file = await open(path, "wx").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    if (file) {
      await file.writeFile(`${process.pid}\n`).finally(() => file.close());
      return () => unlink(path).catch(() => undefined); // whoever removed it meant it
    }
    const owner = Number(await readFile(path, "utf8").catch(() => "")); // 0: it went, or was not written to its end
    if (owner !== process.pid && isAlive(owner))
      throw new UsageError(`--output_dir: process ${owner} trains into ${folder}: wait for it, or remove ${path}`);
    await unlink(path).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
