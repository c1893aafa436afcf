// How long does a mask take, networks apart? One core, the twelve label maps of the tests, every kind of mask.
// usage: node bench/mask.js [ROUNDS] after npm run build; writes bench/results/mask.json
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { agnosticMask } from "../dist/index.js";
import { readLabels } from "../dist/node.js";

const ROUNDS = Number(process.argv[2] ?? 10);
const LIMIT = 150; // milliseconds
const KINDS = [
  ["hd", "upperbody", "reference", 0],
  ["dc", "upperbody", "reference", 0],
  ["dc", "lowerbody", "reference", 0],
  ["dc", "dress", "reference", 0],
  ["dc", "dress", "reference", 15],
  ["hd", "upperbody", "generous", 0],
  ["dc", "lowerbody", "generous", 0],
  ["dc", "dress", "generous", 15],
];

/** Processor time of all threads, compilation and garbage collection among them: other programs do not count. */
function timed(work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const folder = new URL("../test/fixtures/masks/", import.meta.url);
const figures = [];
for (const { parse, keypoints } of JSON.parse(readFileSync(new URL("index.json", folder)))) {
  const labels = await readLabels(new URL(parse, folder).pathname);
  figures.push({ labels, pose: keypoints.map(([x, y]) => ({ x, y })) });
}

// As a command sees it: nothing is compiled yet.
const first = timed(() => agnosticMask(figures[0].labels, figures[0].pose, { model: "hd", category: "upperbody" }));

const rows = KINDS.map(([model, category, mode, grow]) => {
  const times = [];
  for (let round = 0; round < ROUNDS; round++)
    for (const { labels, pose } of figures)
      times.push(timed(() => agnosticMask(labels, pose, { model, category, mode, grow })));
  times.sort((a, b) => a - b);
  const at = (share) => Math.round(times[Math.floor(share * (times.length - 1))] * 100) / 100;
  return { model, category, mode, grow, median: at(0.5), p95: at(0.95), worst: at(1) };
});

const worst = Math.max(first, ...rows.map((row) => row.worst));
const result = {
  question: "does making a mask of 384x512 take less than 150 ms on one core?",
  commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim(),
  cpu: cpus()[0].model,
  node: process.version,
  rounds: ROUNDS,
  unit: "ms of processor time",
  first: Math.round(first * 100) / 100,
  worst,
  limit: LIMIT,
  ok: worst < LIMIT,
  rows,
};
writeFileSync(new URL("results/mask.json", import.meta.url), `${JSON.stringify(result, null, 2)}\n`);
console.table(rows);
console.log(`first ${first.toFixed(1)} ms, worst ${worst.toFixed(1)} ms, limit ${LIMIT} ms`);
process.exit(result.ok ? 0 : 1);
