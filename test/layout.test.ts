import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";

// What the architecture promises about the source, kept by a test.

const ORDER = [
  ["util"],
  ["gpu"],
  ["kernels"],
  ["tensor"],
  ["nn"],
  ["schedulers", "checkpoint", "models", "vision"],
  ["pipelines", "training", "evaluation"],
  ["node", "cli", "index.ts"],
];

/** What a file imports, whichever way: `from "…"`, `import "…"` or `import("…")`. */
const imports = (text: string) =>
  [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)"([^"]+)"/g)].map(([, path]) => path!);

const files = readdirSync("src", { recursive: true, encoding: "utf8" });
const sources = files.filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"));
const read = (file: string) => readFileSync(join("src", file), "utf8");
/** Source without comments. */
const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
const top = (path: string) => path.split("/")[0]!;
const level = (path: string) => ORDER.findIndex((peers) => peers.includes(top(path)));

test("every folder has a place in the order", () => {
  expect([...new Set(sources.map(top))].filter((folder) => level(folder) < 0)).toEqual([]);
});

test("imports point down, and neighbours do not import each other", () => {
  const wrong: string[] = [];
  for (const file of sources)
    for (const path of imports(read(file)).filter((path) => path.startsWith("."))) {
      const target = relative("src", join("src", dirname(file), path));
      const sameHost = ["node", "cli"].includes(top(file)) && top(target) === "node";
      if (top(file) !== top(target) && level(target) >= level(file) && !sameHost) wrong.push(`${file} imports ${path}`);
    }
  expect(wrong).toEqual([]);
});

test("relative imports name the file, extension and all", () => {
  const wrong = sources.flatMap((file) =>
    imports(read(file))
      .filter((path) => path.startsWith(".") && !/\.(ts|wgsl|json)$/.test(path))
      .map((path) => `${file} imports ${path}`),
  );
  expect(wrong).toEqual([]);
});

test("the core imports nothing of Node", () => {
  const hosts = new Set([...builtinModules, "webgpu", "sharp", "commander", "onnxruntime-node"]);
  const core = sources.filter((file) => !["node", "cli"].includes(top(file)));
  const wrong = core.flatMap((file) =>
    imports(read(file))
      .filter((path) => path.startsWith("node:") || hosts.has(path))
      .map((path) => `${file} imports ${path}`),
  );
  expect(wrong).toEqual([]);
  // process and Buffer would be Node's too, without an import
  expect(core.filter((file) => /\b(process\.|Buffer\.|__dirname|require\()/.test(code(read(file))))).toEqual([]);
});

test("shader text stands in .wgsl files only, one .ts beside each kernel's .wgsl", () => {
  expect(
    sources.filter((file) => /@(compute|group|binding)\b|\bvar<(storage|uniform|workgroup)/.test(code(read(file)))),
  ).toEqual([]);
  const shaders = files.filter((file) => file.endsWith(".wgsl"));
  const imported = sources.map(read).join("\n");
  expect(shaders.filter((file) => !imported.includes(`/${file.split("/").at(-1)}"`))).toEqual([]);
});

test("files stay short enough to read: 400 lines, shaders 250", () => {
  const long = files
    .filter((file) => /\.(ts|wgsl)$/.test(file))
    .map((file) => ({ file, lines: read(file).split("\n").length }))
    .filter(({ file, lines }) => lines > (file.endsWith(".wgsl") ? 250 : 400));
  expect(long).toEqual([]);
});

test("named exports only, and no file that only gathers others but the entry points", () => {
  expect(sources.filter((file) => /^export default\b/m.test(read(file)))).toEqual([]);
  const barrels = sources.filter((file) => /^export \*/m.test(read(file)));
  expect(barrels.filter((file) => file !== "index.ts")).toEqual([]);
});

test("no absolute path of anybody's machine is committed", () => {
  const tracked = execFileSync("git", ["ls-files"], { encoding: "utf8" })
    .split("\n")
    .filter((file) => /\.(ts|js|mjs|wgsl|md|json|py|html)$/.test(file) && !file.startsWith("test/fixtures/"));
  const wrong = tracked.filter((file) => /["'`( ]\/(home|work|Users|root)\/[a-z]/.test(readFileSync(file, "utf8")));
  expect(wrong).toEqual([]);
});

// Tests run from the repository alone.
describe("tests", () => {
  const tests = readdirSync("test", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const readTest = (file: string) => readFileSync(join("test", file), "utf8");

  test("read nothing beside the repository", () => {
    const outside = ["..", "shared"].join("/"); // spelled so that this file does not name it
    expect(tests.filter((file) => readTest(file).includes(outside))).toEqual([]);
  });

  test("none is switched off or alone", () => {
    const markers = /\b(describe|test|it)\.(only|skip|todo|fails)\b/;
    expect(tests.filter((file) => markers.test(code(readTest(file))))).toEqual([]);
  });
});
