import { expect, test } from "vitest";
import { readFolder, type Entry } from "../../web/folder_input.ts";

// What the browser gives for a dropped folder: entries that are read by callbacks, a few at a time.

const file = (name: string, text: string): Entry =>
  Object.assign({ name, isDirectory: false }, { file: (done: (file: File) => void) => done(new File([text], name)) });

function folder(name: string, inside: readonly Entry[], failure?: Error): Entry {
  const createReader = () => {
    const left = [...inside];
    const readEntries = (done: (entries: Entry[]) => void, failed: (error: Error) => void) =>
      failure ? failed(failure) : done(left.splice(0, 2));
    return { readEntries };
  };
  return Object.assign({ name, isDirectory: true }, { createReader });
}

test("a dropped folder is read to the end, by paths inside it", async () => {
  const many = Array.from({ length: 5 }, (_, i) => file(`${i}.bin`, String(i)));
  const { name, files } = await readFolder(
    folder("mine", [folder("ootd", [folder("vae", many)]), folder("empty", []), file("README.md", "")]),
  );
  expect(name).toBe("mine");
  expect([...files.keys()]).toEqual([...many.map((_, i) => `ootd/vae/${i}.bin`), "README.md"]);
  expect(await files.get("ootd/vae/4.bin")!.text()).toBe("4");
});

test("what cannot be read says so", async () => {
  const locked = folder("mine", [folder("ootd", [], new Error("ootd is locked"))]);
  await expect(readFolder(locked)).rejects.toThrow("ootd is locked");
});
