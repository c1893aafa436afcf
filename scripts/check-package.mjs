#!/usr/bin/env node
// Checks the package as its users get it: packed, installed, imported, bundled. Usage: npm run check:package, which
// installs from the registry under Node 20, 22 and 24; test/examples/package.test.ts runs the parts that need no network.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { build } from "vite";

const root = fileURLToPath(new URL("../", import.meta.url));
/** What the core may weigh in a page: its minified bundle, gzipped, dependencies and all. */
export const CORE_LIMIT = 250_000;
const NODES = ["20", "22", "24"];

/** Uses both entry points; the last line of its output is USE_SAYS. */
const USE = `
import { createRequire } from "node:module";
import { DeviceError, Tensor, TryOnPipeline, ops } from "toile";
import { readImage, requestDevice, shipped } from "toile/node";
const device = await requestDevice();
const two = Tensor.from(device, [1, 2], [2]);
const sum = await ops.add(two, two).data();
const pipeline = await TryOnPipeline.fromPretrained(shipped("weights"), { device, model: "hd" });
await pipeline.dispose();
const { width } = await readImage(shipped("examples/images/astronaut.png"));
const required = createRequire(import.meta.url)("toile");
console.log(JSON.stringify([...sum]), typeof DeviceError, pipeline.model, width > 0, required.Tensor === Tensor);
device.destroy();`;
const USE_SAYS = "[2,4] function hd true true";

/** Types a user leans on, and two mistakes that the declarations must not let through. */
const TYPED = `
import { Tensor, TryOnPipeline, createScheduler, loadSafetensors, ops, type Fusion } from "toile";
import { readImage, requestDevice } from "toile/node";
const device = await requestDevice();
const sum: Tensor = ops.add(Tensor.from(device, [1, 2], [2]), 1);
const pipeline = await TryOnPipeline.fromPretrained("weights", { device, model: "hd" });
const { images, seed } = await pipeline({ person: await readImage("p.png"), garment: await readImage("g.png"), seed: 1 });
const width: number = images[0]!.width + seed;
// @ts-expect-error a tensor is no string
const text: string = sum;
// @ts-expect-error the device is WebGPU's own, not "any" for want of its types
const raw: number = device.gpu;
export const all = [width, text, raw, createScheduler, loadSafetensors] satisfies unknown[];
export type Own = Fusion;`;

/** Packs the project into a folder. */
export function packed(folder) {
  const args = ["pack", "--json", "--silent", "--pack-destination", folder];
  const [{ filename, files }] = JSON.parse(execFileSync("npm", args, { encoding: "utf8", cwd: root }));
  return { tarball: join(folder, filename), files: files.map(({ path }) => path) };
}

/** The files of a package that it should not hold, each with the reason. */
export function misplaced(files, read) {
  const allowed =
    /^(LICENSE|README\.md|package\.json|(dist|weights)\/.+|examples\/.+\.(js|wgsl|png|jpg|json|md)|docs\/guide\/[^/]+\.md)$/;
  const reasons = [
    [(path) => !allowed.test(path), "has no place in the package"],
    [
      (path) => /(^|\/)(test|fixtures?)\/|\.test\.|\.(ts|py)$|^dist\/.*\.wgsl$/.test(path) && !path.endsWith(".d.ts"),
      "is a source",
    ],
    [(path) => path.endsWith(".map") && JSON.parse(read(path)).sources.some(isAbsolute), "names absolute paths"],
  ];
  return files.flatMap((path) => reasons.filter(([wrong]) => wrong(path)).map(([, reason]) => `${path} ${reason}`));
}
const isAbsolute = (path) => /^(\/|[A-Za-z]:|file:)/.test(path);

/** Unpacks the tarball as npm would, with the dependencies that this checkout has: no network. */
export function unpacked(folder, tarball) {
  const toile = join(folder, "node_modules/toile");
  mkdirSync(toile, { recursive: true });
  execFileSync("tar", ["xzf", tarball, "-C", toile, "--strip-components", "1"]);
  for (const name of ["commander", "zod", "sharp", "webgpu", "@huggingface"])
    symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
  return toile;
}

/** What publint says against the package in a folder. */
export async function linted(toile) {
  const pkg = JSON.parse(readFileSync(join(toile, "package.json"), "utf8"));
  const { messages } = await publint({ pkgDir: toile, pack: false, strict: true });
  return messages.map((message) => formatMessage(message, pkg));
}

/** What TypeScript says to a program that imports both entry points, with every declaration checked. */
export function typeErrors(folder, resolution) {
  writeFileSync(join(folder, "typed.mts"), TYPED);
  const module = resolution === "bundler" ? "esnext" : resolution;
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom"];
  const args = [...flags, "--module", module, "--moduleResolution", resolution, "--skipLibCheck", "false", "typed.mts"];
  const { stdout } = spawnSync(join(root, "node_modules/.bin/tsc"), args, { encoding: "utf8", cwd: folder });
  return stdout.trim();
}

/** Bundles everything that the core exports for a browser: its bytes and what it wanted of Node. */
export async function bundled(folder) {
  const [entry, hosts] = [join(folder, "page.js"), new Set(builtinModules)];
  const ofNode = new Set();
  writeFileSync(entry, `import * as toile from "toile";\nglobalThis.toile = toile;\n`);
  const resolveId = (path) => (path.startsWith("node:") || hosts.has(path) ? void ofNode.add(path) : undefined);
  const { output } = await build({
    configFile: false,
    root: folder,
    logLevel: "error",
    plugins: [{ name: "watch-node", enforce: "pre", resolveId }],
    build: { write: false, target: "es2022", rollupOptions: { input: entry } },
  });
  const chunks = output.filter(({ type }) => type === "chunk").map(({ code }) => code);
  const gzipped = chunks.reduce((sum, code) => sum + gzipSync(code, { level: 9 }).length, 0);
  return { ofNode: [...ofNode], bytes: chunks.join("").length, gzipped };
}

/** Runs a program on both entry points and the command; what went wrong, or nothing. */
export function misused(folder, node = process.execPath) {
  const toile = join(folder, "node_modules/toile");
  writeFileSync(join(folder, "use.mjs"), USE);
  const run = (args) => spawnSync(node, args, { encoding: "utf8", cwd: folder });
  const program = run(["--no-warnings", "use.mjs"]);
  const vae = join(toile, "weights/ootd/vae/diffusion_pytorch_model.safetensors");
  const info = run([join(toile, "dist/cli.js"), "info", vae]);
  const wrong = [];
  if (program.status !== 0 || program.stdout !== `${USE_SAYS}\n`)
    wrong.push(`the program: ${program.stdout}${program.stderr}`);
  if (info.status !== 0 || !/AutoencoderKL/.test(info.stdout)) wrong.push(`toile info: ${info.stdout}${info.stderr}`);
  return wrong;
}

/** Installs the tarball from the registry under one major version of Node, and uses it there. */
function installed(folder, tarball, major) {
  const npm = (at, ...args) =>
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--silent", ...args], { cwd: at });
  const at = (name) => {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, "package.json"), "{}");
    return join(folder, name);
  };
  const runtime = `node-${process.platform}-${process.arch}`;
  const [home, project] = [at(`node-${major}`), at(`project-${major}`)];
  npm(home, `${runtime}@${major}`);
  npm(project, tarball);
  const node = join(home, "node_modules", runtime, "bin/node");
  const version = execFileSync(node, ["--version"], { encoding: "utf8" }).trim();
  const command = spawnSync(node, [join(project, "node_modules/.bin/toile"), "--version"], { encoding: "utf8" });
  const wrong = misused(project, node);
  if (command.status !== 0) wrong.push(`toile --version: ${command.stderr}`);
  return { version, wrong };
}

/** Are the types wrong? Its verdict on the tarball, for a package that is ESM only. */
function typesVerdict(folder, tarball) {
  const args = [
    "--yes",
    "@arethetypeswrong/cli@0.18.5",
    tarball,
    "--profile",
    "esm-only",
    "--no-color",
    "--format",
    "ascii",
  ];
  const { status, stdout, stderr } = spawnSync("npx", args, { encoding: "utf8", cwd: folder });
  return status === 0 ? [] : [`${stdout}${stderr}`];
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), "toile-package-"));
  let failed = 0;
  const report = (what, wrong) => {
    failed += wrong.length;
    console.log(wrong.length === 0 ? `ok    ${what}` : `FAIL  ${what}\n      ${wrong.join("\n      ")}`);
  };
  try {
    const { tarball, files } = packed(folder);
    const toile = unpacked(folder, tarball);
    report(
      `${files.length} files`,
      misplaced(files, (path) => readFileSync(join(toile, path), "utf8")),
    );
    report("publint", await linted(toile));
    report("are the types wrong", typesVerdict(folder, tarball));
    for (const resolution of ["bundler", "node16", "nodenext"])
      report(`types, ${resolution}`, [typeErrors(folder, resolution)].filter(Boolean));
    const { ofNode, bytes, gzipped } = await bundled(folder);
    report("the core needs nothing of Node", ofNode);
    const size = `${(gzipped / 1000).toFixed(1)} kB gzipped, ${(bytes / 1000).toFixed(1)} kB minified`;
    report(`the core is ${size}`, gzipped < CORE_LIMIT ? [] : [`more than ${CORE_LIMIT} bytes`]);
    for (const major of NODES) {
      const { version, wrong } = installed(folder, tarball, major);
      report(`installed and used under Node ${version}`, wrong);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.exitCode = failed === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
