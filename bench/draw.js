// How many pairs a second are drawn: person, flat garment, label map, key points and mask; and what written as files?
// usage: node bench/draw.js [SECONDS] after npm run build; writes bench/results/draw.json
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { drawnDataset } from "../dist/index.js";
import { threadedDataset } from "../dist/node.js";

const SECONDS = Number(process.argv[2] ?? 4);
const LIMIT = 50; // pairs a second of 64x96 pixels
const SIZES = [
  [64, 96],
  [128, 192],
  [384, 512],
];
const WORKERS = availableParallelism();
const categories = ["upperbody", "lowerbody", "dress"];
const round = (value) => Math.round(value * 10) / 10;

/** Samples of one thread by its processor time: other programs do not count. */
async function oneThread(options) {
  const set = drawnDataset(options);
  for (let i = 0; i < 30; i++) await set.get(i); // compiled by then
  const began = process.cpuUsage();
  for (let count = 1; ; count++) {
    await set.get(29 + count);
    const { user, system } = process.cpuUsage(began);
    const seconds = (user + system) / 1e6;
    if (seconds > SECONDS) return count / seconds;
  }
}

/** Samples that arrive from threads, by the clock. */
async function threads(options, workers) {
  const set = await threadedDataset({ kind: "drawn", ...options }, { workers });
  const lanes = 4 * workers;
  let next = 0;
  const run = async (until) =>
    Promise.all(
      Array.from({ length: lanes }, async () => {
        while (until()) await set.get(next++);
      }),
    );
  await run(() => next < 30 * workers);
  const [began, first] = [performance.now(), next];
  await run(() => performance.now() - began < SECONDS * 1000);
  const rate = (1000 * (next - first)) / (performance.now() - began);
  await set.close();
  return rate;
}

/** Pairs that `toile data draw` writes, start included. */
function files(width, height, pairs) {
  const out = mkdtempSync(join(tmpdir(), "toile-draw-"));
  const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
  const size = ["--width", width, "--height", height, "--workers", WORKERS];
  const text = execFileSync(process.execPath, [cli, "data", "draw", "--out", out, "--pairs", pairs, ...size, "--json"]);
  rmSync(out, { recursive: true });
  return JSON.parse(text).pairsPerSecond;
}

const rows = [];
for (const [width, height] of SIZES) {
  const options = { seed: 1, width, height, categories };
  const row = { width, height, oneThread: round(await oneThread(options)) };
  row.threads = round(await threads(options, WORKERS));
  row.files = files(width, height, width < 200 ? 400 : 100);
  rows.push(row);
}
const ok = rows[0].oneThread >= LIMIT;
const result = {
  question: "are at least 50 pairs of 64x96 pixels drawn a second?",
  commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim(),
  cpu: cpus()[0].model,
  node: process.version,
  workers: WORKERS,
  unit: "pairs a second: of processor time on one thread, by the clock on threads and as files",
  limit: LIMIT,
  ok,
  rows,
};
writeFileSync(new URL("results/draw.json", import.meta.url), `${JSON.stringify(result, null, 2)}\n`);
console.table(rows);
process.exit(ok ? 0 : 1);
