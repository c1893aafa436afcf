import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { appendFile, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { InputError } from "../util/errors.ts";
import type { FileContent, OutputFolder, StagedFolder } from "../util/host.ts";
import { directory, explain, syncFolder, writeFileAtomic } from "./files.ts";
import { makeFolder } from "./folders.ts";

const STAGED = ".tmp";

/** A folder that training writes into: whole folders appear in it at once, or not at all. */
export function outputFolder(path: string): OutputFolder {
  const folders = async () => {
    await makeFolder(path);
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  };
  return {
    ...directory(path),
    list: async () => (await folders()).filter((name) => !name.endsWith(STAGED)),
    unfinished: async () => (await folders()).filter((name) => name.endsWith(STAGED)),
    stage: async (name, { replace = true } = {}) => stage(join(path, name), replace),
    digest: async (name) => {
      const hash = createHash("sha256");
      for await (const piece of createReadStream(join(path, name))) hash.update(piece as Uint8Array);
      return hash.digest("hex");
    },
    remove: async (name) => rm(join(path, name), { recursive: true, force: true }),
    append: async (name, content) => {
      const full = join(path, name);
      await makeFolder(dirname(full));
      await appendFile(full, content).catch((error: unknown) => Promise.reject(explain(full, error)));
    },
    write: async (name, content) => {
      await makeFolder(dirname(join(path, name)));
      await writeFileAtomic(join(path, name), content);
    },
  };
}

/** Files are written and synced beside the final name; `commit` renames the whole folder. */
async function stage(final: string, replace: boolean): Promise<StagedFolder> {
  const temporary = `${final}${STAGED}`;
  await rm(temporary, { recursive: true, force: true }); // what an interrupted run left
  await makeFolder(temporary);
  return {
    write: async (name, content) => {
      const path = join(temporary, name);
      const hash = createHash("sha256");
      await makeFolder(dirname(path));
      await writeFileAtomic(path, hashed(content, hash));
      return hash.digest("hex");
    },
    commit: async () => {
      await syncFolder(temporary);
      const replaced = `${final}.old${STAGED}`;
      await rm(replaced, { recursive: true, force: true });
      const exists = await stat(final).then(
        () => true,
        () => false,
      );
      if (exists && !replace) throw new InputError(final, "came to be meanwhile, and is not replaced");
      if (exists) await rename(final, replaced); // a checkpoint of the same name, from a run that was restarted
      await rename(temporary, final);
      await syncFolder(dirname(final));
      if (exists) await rm(replaced, { recursive: true, force: true });
    },
    discard: async () => rm(temporary, { recursive: true, force: true }),
    name: basename(final),
  };
}

/** Passes the pieces on and takes them into the hash. */
async function* hashed(content: FileContent, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const piece of content instanceof Uint8Array ? [content] : content) {
    hash.update(piece);
    yield piece;
  }
}
