import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { root, scratch } from "../cli/run.ts";
import * as check from "../../scripts/check-package.mjs";

// The package as npm would install it, with this checkout's dependencies; `npm run check:package` does it from the
// registry, under every supported Node.
describe("the packed package", () => {
  let folder: string;
  let toile: string;
  let files: readonly string[];
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "toile-package-"));
    const packed = check.packed(folder);
    files = packed.files;
    toile = check.unpacked(folder, packed.tarball);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("holds what it needs and no more", () => {
    const tops = new Set(files.map((path) => path.replace(/\/.*/, "")));
    expect([...tops].sort()).toEqual(["LICENSE", "README.md", "dist", "docs", "examples", "package.json", "weights"]);
    expect(check.misplaced(files, (path) => readFileSync(join(toile, path), "utf8"))).toEqual([]);
  });

  test("works from another project: both entry points, required and imported, and the command", () =>
    expect(check.misused(folder)).toEqual([]));

  test("has nothing for publint to say", async () => expect(await check.linted(toile)).toEqual([]));

  test.for(["bundler", "nodenext"] as const)("has sound types under %s, every declaration checked", (resolution) =>
    expect(check.typeErrors(folder, resolution)).toBe(""),
  );

  test("is bundled for a browser without anything of Node, its core within the limit", async () => {
    const { ofNode, gzipped } = await check.bundled(folder);
    expect(ofNode).toEqual([]);
    expect(gzipped).toBeGreaterThan(100_000); // all of it, nothing shaken off
    expect(gzipped).toBeLessThan(check.CORE_LIMIT);
  });

  test("is all that a copy of the page needs beside Vite, elsewhere", () => {
    const page = join(folder, "page");
    cpSync(join(root, "web"), page, { recursive: true });
    symlinkSync(join(root, "node_modules/vite"), join(folder, "node_modules/vite"));
    const vite = spawnSync(process.execPath, [join(root, "node_modules/vite/bin/vite.js"), "build"], { cwd: page });
    expect([vite.status, vite.status === 0 ? "" : vite.stderr.toString()]).toEqual([0, ""]);
    const built = readdirSync(join(page, "dist"), { recursive: true }).map(String);
    expect(built).toEqual(expect.arrayContaining(["index.html", "weights/manifest.json"]));
  });
});

test("what has no place in a package is named", () => {
  const map = (source: string) => JSON.stringify({ sources: [source] });
  const texts: Record<string, string> = { "dist/a.js.map": map("../src/a.ts"), "dist/b.js.map": map("/tmp/b.ts") };
  const files = ["dist/a.js", "dist/a.d.ts", "dist/a.ts", "test/a.test.js", "secret.json", ...Object.keys(texts)];
  expect(check.misplaced(files, (path) => texts[path]!)).toEqual([
    "dist/a.ts is a source",
    "test/a.test.js has no place in the package",
    "test/a.test.js is a source",
    "secret.json has no place in the package",
    "dist/b.js.map names absolute paths",
  ]);
});

test("a package that needs Node, has broken types or fails is found out", async () => {
  const folder = scratch();
  const toile = join(folder, "node_modules/toile");
  mkdirSync(toile, { recursive: true });
  const exports = { ".": { default: "./index.js", types: "./index.d.ts" } };
  const files = {
    "package.json": JSON.stringify({ name: "toile", version: "1.0.0", type: "module", exports }),
    "index.js": `export { readFileSync } from "node:fs";`,
    "index.d.ts": `export declare const Tensor: any;`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(toile, name), text);
  expect((await check.bundled(folder)).ofNode).toEqual(["node:fs"]);
  expect(await check.linted(toile)).toContainEqual(expect.stringContaining("types"));
  expect(check.typeErrors(folder, "bundler")).toContain("toile/node");
  expect(check.misused(folder)).toHaveLength(2);
});
