// Question: how long does the pose of a person take, and does the network equal the reference at its real size?
// Weights come from a formula, the expected maps from PyTorch. Run: npm run build && node bench/pose.js [--dtype f16]
import { execSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { OpenposeBody, Tensor, decodePose, loadModule, ops } from "../dist/index.js";
import { requestDevice } from "../dist/node.js";
import { fill } from "./lib/formula.js";
import { readTensors } from "./lib/tensors.js";

const RUNS = 5;
const LIMIT = 10; // seconds on a software adapter
const dtype = process.argv.includes("f16") ? "f16" : "f32";
const fixture = (name) => readFileSync(new URL(`../test/fixtures/openpose/${name}`, import.meta.url));
const parameters = JSON.parse(fixture("net_parameters.json"));
const expected = readTensors(fixture("net.safetensors"));
const device = await requestDevice();
const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** The reference's checkpoint under its published names, computed as it is read. */
function formulaSource() {
  const entries = new Map(parameters.map(([name, shape], k) => [name.slice(name.indexOf(".") + 1), { k, shape }]));
  return {
    name: "body_pose_model by formula",
    tensors: new Map([...entries].map(([name, { shape }]) => [name, { name, dtype: "F32", shape }])),
    metadata: new Map(),
    read: async (name) => {
      const { k, shape } = entries.get(name);
      const scale = shape.length > 1 ? Math.sqrt(6 / product(shape.slice(1))) : 0.05;
      return new Uint8Array(fill(new Float32Array(product(shape)), k * 40503 + 12345, scale).buffer);
    },
    close: async () => {},
  };
}

async function seconds(work) {
  const start = performance.now();
  const result = await work();
  return { result, time: (performance.now() - start) / 1000 };
}

const network = new OpenposeBody();
const { time: load } = await seconds(() => loadModule(device, network, formulaSource(), { label: "openpose", dtype }));
const { data, shape } = expected.get("input");

async function run() {
  const maps = device.scope(() => {
    const x = ops.permute(ops.cast(Tensor.from(device, data, shape), dtype), [0, 2, 3, 1]);
    const { paf, heat } = network.forward(x);
    return { paf: ops.permute(paf, [0, 3, 1, 2]), heatmap: ops.permute(heat, [0, 3, 1, 2]) };
  });
  const result = { paf: await maps.paf.data(), heatmap: await maps.heatmap.data() };
  for (const tensor of Object.values(maps)) tensor.dispose();
  return result;
}

/** Largest difference over the largest expected magnitude. */
function error(actual, { data }) {
  let [worst, largest] = [0, 0];
  for (const [i, value] of data.entries()) {
    worst = Math.max(worst, Math.abs(actual[i] - value));
    largest = Math.max(largest, Math.abs(value));
  }
  return worst / largest;
}

/** Decoding of a reference case: one person (0), two (3). */
async function decoding(tensors, i) {
  const last = (name) => {
    const { data, shape } = tensors.get(`${i}.${name}`);
    const pixels = shape[1] * shape[2];
    return data.map((_, at) => data[(at % shape[0]) * pixels + Math.floor(at / shape[0])]);
  };
  const maps = { heat: last("heatmap"), paf: last("paf") };
  const times = [];
  for (let r = 0; r < RUNS + 1; r++) times.push((await seconds(() => decodePose(maps))).time);
  return times.slice(1);
}

const { time: first, result: maps } = await seconds(run);
const runs = [];
for (let r = 0; r < RUNS; r++) runs.push((await seconds(run)).time);
const decode = readTensors(fixture("decode.safetensors"));
const median = (times) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
const report = {
  question: "how long does the pose of a person take, and does the network equal the reference?",
  commit: execSync("git rev-parse --short HEAD").toString().trim(),
  adapter: device.facts.name,
  node: process.version,
  dtype,
  input: [1, 184, 144, 3],
  seconds: {
    load,
    firstRun: first,
    median: median(runs),
    runs,
    limit: LIMIT,
    decodeOnePerson: median(await decoding(decode, 0)),
    decodeTwoPeople: median(await decoding(decode, 3)),
  },
  errors: { paf: error(maps.paf, expected.get("paf")), heat: error(maps.heatmap, expected.get("heatmap")) },
};
report.ok = median(runs) < LIMIT && Object.values(report.errors).every((e) => e < (dtype === "f32" ? 2e-4 : 2e-2));
mkdirSync(new URL("results/", import.meta.url), { recursive: true });
writeFileSync(new URL(`results/pose-${dtype}.json`, import.meta.url), `${JSON.stringify(report, null, 2)}\n`);
console.log(JSON.stringify(report, null, 2));
device.destroy();
process.exitCode = report.ok ? 0 : 1;
