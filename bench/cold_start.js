// Question: how long from the start of the process to the first picture, with the driver's shader cache empty and full, and how
// long do a UNet's pipelines take to compile? Run: npm run build && node bench/cold_start.js [--rounds 2]
// The cache is Mesa's (MESA_SHADER_CACHE_DIR), in a folder of its own; other drivers keep theirs, and "cold" is not cold there.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { requestDevice } from "../dist/node.js";
import { runFacts, writeResult } from "./lib/facts.js";
import { summary } from "./lib/timing.js";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "2" } } });
const LIMIT = 20; // seconds for a UNet's pipelines
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const tryOn = (folder) => [
  here("../dist/cli.js"),
  "try-on",
  ...["--person", here("../examples/images/astronaut.png"), "--garment", here("../examples/images/striped-shirt.png")],
  ...["--mask", here("../examples/images/astronaut-mask.png"), "--width", "128", "--height", "192"],
  ...["--steps", "2", "--seed", "1", "--out", join(folder, "out")],
];

/** Runs a program with the given shader cache; its standard output and how long it took. */
function run(args, folder) {
  const start = performance.now();
  const child = spawnSync(process.execPath, args, {
    encoding: "utf8",
    env: { ...process.env, MESA_SHADER_CACHE_DIR: join(folder, "shaders") },
  });
  if (child.status !== 0) throw new Error(`${args.join(" ")}: ${child.stderr.trim().split("\n").at(-1)}`);
  return { ms: performance.now() - start, out: child.stdout };
}

const times = { coldPicture: [], warmPicture: [], coldUnet: [], warmUnet: [] };
let pipelines = 0;
for (let round = 0; round < Number(values.rounds); round++) {
  const folder = mkdtempSync(join(tmpdir(), "toile-cold-"));
  try {
    for (const state of ["cold", "warm"]) times[`${state}Picture`].push(run(tryOn(folder), folder).ms);
    rmSync(join(folder, "shaders"), { recursive: true, force: true });
    for (const state of ["cold", "warm"]) {
      const unet = JSON.parse(run([here("lib/first_step.js")], folder).out);
      pipelines = unet.pipelines;
      times[`${state}Unet`].push(unet.compileMs);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const device = await requestDevice();
const rows = Object.fromEntries(Object.entries(times).map(([name, list]) => [name, summary(list)]));
const result = {
  question: "how long from process start to the first picture, and to all of a UNet's pipelines?",
  method:
    "milliseconds. Picture: the command try-on with the small checkpoint, 128x192, 2 steps, from spawn to exit. UNet: the first " +
    "step of the middle-size try-on UNet less the fastest of three later ones",
  ...runFacts(device),
  pipelines,
  rows,
  limitMs: LIMIT * 1000,
  ok: rows.coldUnet.median < LIMIT * 1000,
};
console.log(JSON.stringify(result, null, 2));
writeResult("cold_start", result);
process.exit(result.ok ? 0 : 1);
