// How long does a mask take, networks apart? One core, the twelve label maps of the tests, every kind of mask.
// usage: node bench/mask.js [ROUNDS] after npm run build; writes bench/results/mask.json
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { agnosticMask, decodePose, parsePerson } from "../dist/index.js";
import { readLabels } from "../dist/node.js";
import { readTensors } from "./lib/tensors.js";

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

/** Logits as a parsing network gives them, n x n on its square, that say what a label map says. */
function logits({ width, height, data }, classes, n, label = (own) => own) {
  const out = new Float32Array(classes * n * n);
  for (let y = 0, i = 0; y < n; y++)
    for (let x = 0; x < n; x++, i++) {
      const column = Math.round((x / (n - 1)) * (height - 1) - (height - width) / 2);
      const row = Math.round((y / (n - 1)) * (height - 1));
      const own = column < 0 || column >= width ? 0 : data[row * width + column];
      out[label(own) * n * n + i] = 8;
    }
  return { data: out, shape: [1, classes, n, n] };
}

/** Everything between a picture of 384x512 and its mask but the three networks, which answer at once. */
async function around({ labels, pose }, maps) {
  const session = (name, fused) => ({ name, run: async () => [undefined, fused], close: async () => {} });
  const atr = session(
    "atr",
    logits(labels, 18, 128, (own) => (own === 18 ? 11 : own)),
  );
  const lip = session(
    "lip",
    logits(labels, 20, 119, (own) => (own === 11 ? 13 : 0)),
  );
  const picture = { width: 384, height: 512, data: new Uint8Array(384 * 512 * 3).fill(90) };
  const before = process.cpuUsage();
  decodePose(maps);
  agnosticMask(await parsePerson(picture, atr, lip), pose, { model: "hd", category: "upperbody" });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const decode = readTensors(readFileSync(new URL("../openpose/decode.safetensors", folder)));
const lastChannel = (name) => {
  const { data, shape } = decode.get(name);
  const [channels, pixels] = [shape[0], shape[1] * shape[2]];
  return data.map((_, at) => data[(at % channels) * pixels + Math.floor(at / channels)]);
};
const maps = { heat: lastChannel("0.heatmap"), paf: lastChannel("0.paf") };
const firstAround = await around(figures[0], maps);
const times = [];
for (let round = 0; round < ROUNDS; round++) for (const figure of figures) times.push(await around(figure, maps));
times.sort((a, b) => a - b);
const arounds = { first: firstAround, median: times[times.length >> 1], p95: times[Math.floor(0.95 * times.length)] };

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
  around: Object.fromEntries(Object.entries(arounds).map(([name, ms]) => [name, Math.round(ms * 10) / 10])),
  ok: worst < LIMIT && arounds.median < LIMIT,
  rows,
};
writeFileSync(new URL("results/mask.json", import.meta.url), `${JSON.stringify(result, null, 2)}\n`);
console.table(rows);
console.log("with what surrounds the networks (key points, labels):", result.around);
console.log(`first ${first.toFixed(1)} ms, worst ${worst.toFixed(1)} ms, limit ${LIMIT} ms`);
process.exit(result.ok ? 0 : 1);
