import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { openShards } from "../../src/checkpoint/shards.ts";
import { encodeSafetensors } from "../../src/checkpoint/write.ts";
import { directory, fileSource, writeFileAtomic, writeFilesAtomic } from "../../src/node/files.ts";
import { FormatError, InputError } from "../../src/util/errors.ts";

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "toile-files-"))));
afterAll(() => rm(folder, { recursive: true }));

describe("fileSource", () => {
  test("reads parts into buffers of their own", async () => {
    const path = join(folder, "a");
    await writeFile(
      path,
      Uint8Array.from({ length: 100 }, (_, i) => i),
    );
    const source = await fileSource(path);
    expect(source.size).toBe(100);
    const bytes = await source.read(10, 4);
    expect([...bytes]).toEqual([10, 11, 12, 13]);
    expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, 4]);
    expect(await source.read(100, 0)).toHaveLength(0);
    for (const [offset, length] of [
      [99, 2],
      [-1, 1],
      [0.5, 1],
      [0, NaN],
    ] as const)
      await expect(source.read(offset, length)).rejects.toThrow(FormatError);
    await truncate(path, 50);
    await expect(source.read(40, 20)).rejects.toThrow("truncated while it was read: ends at 50 instead of 100");
    await source.close();
  });

  test("says what is wrong with a path", async () => {
    await expect(fileSource(join(folder, "none"))).rejects.toThrow(
      new InputError(join(folder, "none"), "no such file or folder"),
    );
    await expect(fileSource(folder)).rejects.toThrow("is a folder, not a file");
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(fileSource(pipe)).rejects.toThrow("is not a regular file");
  });
});

describe("directory", () => {
  const weights = encodeSafetensors([{ name: "a", dtype: "F32", shape: [1], data: Float32Array.of(3) }]);

  test("opens a checkpoint", async () => {
    await mkdir(join(folder, "vae"));
    await writeFile(join(folder, "vae/w.safetensors"), weights);
    const source = await openCheckpoint(directory(folder), "vae/w");
    expect(new Float32Array((await source.read("a")).buffer)).toEqual(Float32Array.of(3));
    await source.close();
    await expect(openCheckpoint(directory(folder), "vae/x")).rejects.toThrow(`${folder}: no weights at vae/x`);
  });

  test("has files alone, and none outside", async () => {
    await writeFile(join(folder, "text.json"), "{}");
    const root = directory(folder);
    expect([await root.has("text.json"), await root.has("vae"), await root.has("none")]).toEqual([true, false, false]);
    expect(await root.text("text.json")).toBe("{}");
    await expect(root.text("none.json")).rejects.toThrow("no such file");
    await expect(root.open("../x")).rejects.toThrow("../x lies outside the folder");
    await expect(root.has("/etc/passwd")).rejects.toThrow("outside");
  });

  test("shards that are missing are named", async () => {
    const index = { name: "i.json", text: '{"weight_map":{"a":"none.safetensors"}}' };
    await expect(openShards(index, directory(folder).open)).rejects.toThrow("none.safetensors: no such file");
  });
});

describe("writeFileAtomic", () => {
  test("writes bytes or pieces, over an older file", async () => {
    const path = join(folder, "out");
    await writeFileAtomic(path, Uint8Array.of(1));
    await writeFileAtomic(path, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]);
    expect([...(await readFile(path))]).toEqual([1, 2, 3]);
  });

  test("leaves the old file and no other when a piece fails", async () => {
    const path = join(folder, "kept");
    await writeFile(path, "old");
    const before = await readdir(folder);
    function* pieces() {
      yield Uint8Array.of(1);
      throw new Error("no more");
    }
    await expect(writeFileAtomic(path, pieces())).rejects.toThrow("no more");
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(before);
    await expect(writeFileAtomic(join(folder, "no/such/x"), Uint8Array.of(1))).rejects.toThrow(
      "no such file or folder",
    );
  });

  test("files that belong together: none when one cannot be written, and names of any length", async () => {
    const [first, second] = [join(folder, "first"), join(folder, "no/such/second")];
    const before = await readdir(folder);
    const both = [first, second].map((path) => [path, Uint8Array.of(1)] as const);
    await expect(writeFilesAtomic(both)).rejects.toThrow(`${second}: no such file or folder`);
    expect(await readdir(folder)).toEqual(before);
    const long = join(folder, "x".repeat(255));
    await writeFilesAtomic([[long, Uint8Array.of(7)]]);
    expect([...(await readFile(long))]).toEqual([7]);
  });
});
