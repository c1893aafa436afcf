import { find, messageOf } from "./dom.ts";
import type { ChosenFolder } from "./protocol.ts";

/** What a browser says of a file or folder that was dropped, as far as it is read here. */
export interface Entry {
  readonly name: string;
  readonly isDirectory: boolean;
}

interface FileEntry extends Entry {
  file(done: (file: File) => void, failed: (error: Error) => void): void;
}

interface DirectoryEntry extends Entry {
  createReader(): { readEntries(done: (entries: Entry[]) => void, failed: (error: Error) => void): void };
}

/** A dropped folder with everything in it, by paths that begin inside it. */
export async function readFolder(folder: Entry): Promise<ChosenFolder> {
  const files = new Map<string, File>();
  const walk = async (entry: Entry, path: string): Promise<void> => {
    if (!entry.isDirectory) {
      files.set(path, await new Promise<File>((done, failed) => (entry as FileEntry).file(done, failed)));
      return;
    }
    for (const inside of await entriesOf(entry as DirectoryEntry))
      await walk(inside, path ? `${path}/${inside.name}` : inside.name);
  };
  await walk(folder, "");
  return { name: folder.name, files };
}

/** Browsers hand a folder's entries out by the hundred: an empty answer is the end. */
async function entriesOf(folder: DirectoryEntry): Promise<Entry[]> {
  const [reader, all] = [folder.createReader(), [] as Entry[]];
  for (;;) {
    const some = await new Promise<Entry[]>((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

/** Takes a folder: by dropping, or by choosing it. */
export class FolderInput {
  readonly #error: HTMLElement;

  constructor(selector: string, take: (folder: ChosenFolder) => Promise<void>) {
    const card = find(selector);
    const input = find<HTMLInputElement>("[data-folder]", card);
    this.#error = find("[data-error]", card);
    input.addEventListener("change", () => {
      const chosen = [...(input.files ?? [])];
      input.value = "";
      const [name = ""] = chosen[0]?.webkitRelativePath.split("/") ?? [];
      const files = chosen.map((file) => [file.webkitRelativePath.slice(name.length + 1), file] as const);
      if (files.length > 0) this.#try(() => take({ name, files: new Map(files) }));
    });
    card.addEventListener("drop", (event) => {
      const entry = event.dataTransfer?.items[0]?.webkitGetAsEntry(); // gone once this function has returned
      this.#try(async () => {
        if (!entry?.isDirectory) throw new Error(`${entry?.name ?? "what was dropped"} is not a folder`);
        await take(await readFolder(entry));
      });
    });
    card.addEventListener("dragover", () => card.classList.add("over"));
    for (const type of ["dragleave", "drop"] as const) card.addEventListener(type, () => card.classList.remove("over"));
  }

  set error(message: string) {
    this.#error.textContent = message;
  }

  #try(work: () => Promise<void>): void {
    this.error = "";
    work().catch((error: unknown) => (this.error = messageOf(error)));
  }
}
