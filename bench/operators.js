// Question: how long do the operators of Stable Diffusion's UNet take, beside the peers on the same adapter?
// Run: npm run build && (cd bench && npm ci) && node bench/operators.js [GROUP or part of a name…] [--rounds 7] [--ours]
// Groups: matmul linear conv attention norm feedForward. --ours leaves the peers out. Rows replace those of the same name.
import { parseArgs } from "node:util";
import { requestDevice } from "../dist/node.js";
import { CASES, inputX } from "./lib/cases.js";
import { commit, readResult, runFacts, writeResult } from "./lib/facts.js";
import { oursCandidate } from "./lib/ours.js";
import { roundRobin } from "./lib/timing.js";

const { values: options, positionals: groups } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "7" }, ours: { type: "boolean", default: false } },
});
const LIMITS = { f32: 1e-3, f16: 5e-2 }; // of the largest magnitude, at the end of a chain
const NONSENSE = 0.5; // what differs more did not compute this operator
const SLOW = 2e10; // operations in a chain beyond which peers without a tuned kernel take minutes

async function openPeers() {
  if (options.ours) return undefined;
  await import("./lib/shim.js");
  const [ort, tfjs, jax] = await Promise.all(["ort", "tfjs", "jax"].map((name) => import(`./lib/${name}.js`)));
  await tfjs.openTfjs();
  await jax.openJax();
  return { ...ort, ...tfjs, ...jax };
}

async function candidatesOf(test, x, inputs) {
  const types = device.facts.f16 ? ["f32", "f16"] : ["f32"];
  const made = types.map((dtype) => oursCandidate(device, test, x, inputs, dtype));
  if (!peers) return made;
  const slow = (test.flops ?? 0) * test.repeat >= SLOW;
  for (const dtype of slow ? ["f32"] : types)
    made.push(await peers.ortCandidate(test, x, inputs, { provider: "webgpu", dtype }));
  if (!slow && (test.op === "groupNorm" || test.op === "attention"))
    made.push(await peers.ortCandidate(test, x, inputs, { provider: "webgpu", dtype: "f32", other: true }));
  made.push(await peers.ortCandidate(test, x, inputs, { provider: "cpu", dtype: "f32" }));
  if (!slow)
    made.push(await peers.tfjsCandidate(test, x, inputs), await peers.jaxCandidate(test, x, inputs, peers.toPlanes));
  return made.filter(Boolean);
}

/** Largest difference over the largest magnitude. */
function difference(actual, expected) {
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs(actual[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return actual.length === expected.length && worst === worst ? worst / largest : Infinity;
}

/** Leaves out who cannot run the case here. Who is inexact stays, with the error beside the time. */
async function sound(candidates) {
  const reference = await candidates[0].values();
  const able = [];
  for (const candidate of candidates) {
    try {
      candidate.error = difference(await candidate.values(), reference);
      if (candidate.error > NONSENSE) throw new Error(`differs by ${candidate.error.toExponential(1)}`);
      able.push(candidate);
    } catch (error) {
      console.log(`  ${candidate.name}: left out, ${String(error.message).split("\n")[0].slice(0, 160)}`);
    }
  }
  return able;
}

/** Our rates over those of ORT's WebGPU provider: the fastest of its forms in the same type (for f16: in any). */
function ratios(rows, clock) {
  const fastest = (pattern) =>
    Math.min(...Object.entries(rows).flatMap(([name, row]) => (pattern.test(name) ? [row[clock]] : [])));
  const ratio = (ours, pattern) => {
    const value = fastest(pattern) / (rows[ours]?.[clock] ?? NaN);
    return Number.isFinite(value) ? Number(value.toFixed(2)) : undefined;
  };
  return { f32: ratio("toile f32", /^onnxruntime webgpu f32/), f16: ratio("toile f16", /^onnxruntime webgpu/) };
}

/** Our f32 rates over those of single candidates of which something is asked. */
function beside(rows, asked = {}) {
  return Object.entries(asked).flatMap(([name, ratio]) => {
    const reached = rows[name] && Number((rows[name].median / rows["toile f32"].median).toFixed(2));
    return reached ? [{ name, reached, asked: ratio }] : [];
  });
}

async function measure(test) {
  const inputs = test.inputs();
  const candidates = await candidatesOf(test, inputX(test), inputs);
  try {
    const able = await sound(candidates);
    const summaries = await roundRobin(able, { rounds: Number(options.rounds) });
    const rows = {};
    for (const [{ name, error }, times] of summaries) {
      const each = Object.fromEntries(
        Object.entries(times).map(([key, value]) => [key, key === "rounds" ? value : value / test.repeat]),
      );
      rows[name] = { ...each, gflops: test.flops && test.flops / each.median / 1e6, error };
    }
    return {
      name: test.name,
      group: test.group,
      repeat: test.repeat,
      flops: test.flops,
      commit: commit(),
      candidates: rows,
    };
  } finally {
    for (const candidate of candidates) await candidate.dispose();
    await device.flush();
    device.trim();
  }
}

function print(row, asked = {}) {
  console.log(row.name);
  for (const [name, { median, lower, upper, gflops, error }] of Object.entries(row.candidates))
    console.log(
      `  ${name.padEnd(44)} ${median.toFixed(2).padStart(9)} ms  (${lower.toFixed(2)} … ${upper.toFixed(2)})` +
        (gflops ? `  ${gflops.toFixed(1).padStart(6)} GFLOP/s` : "") +
        (error > LIMITS[name.includes("f16") ? "f16" : "f32"] ? `  wrong by ${error.toExponential(1)}` : ""),
    );
  for (const [dtype, ratio] of Object.entries(row.ratios))
    if (ratio)
      console.log(
        `  ${dtype}: ${ratio} times ORT WebGPU (processor time ${row.processorRatios[dtype]})` +
          (asked[dtype] ? `, asked ${asked[dtype]}` : ""),
      );
  for (const { name, reached, asked } of row.beside) console.log(`  f32: ${reached} times ${name}, asked ${asked}`);
}

const device = await requestDevice();
const peers = await openPeers();
const name = options.ours ? "operators-ours" : "operators";
const facts = runFacts(device);
const before = readResult(name);
for (const fact of ["adapter", "driver", "cpu", "versions"])
  if (before && JSON.stringify(before[fact]) !== JSON.stringify(facts[fact]))
    throw new Error(`bench/results/${name}.json is of another ${fact}: move it elsewhere first`);
const rows = new Map(before?.rows.map((row) => [row.name, row]));
for (const test of CASES) {
  if (groups.length > 0 && !groups.some((part) => test.group === part || test.name.includes(part))) continue;
  const row = await measure(test);
  row.ratios = peers ? ratios(row.candidates, "median") : {};
  row.processorRatios = peers ? ratios(row.candidates, "processor") : {};
  row.asked = test.asked;
  row.beside = beside(row.candidates, test.askedOf);
  print(row, test.asked);
  rows.set(test.name, row);
  writeResult(name, {
    question: "how long do the operators of a UNet take, beside the peers on the same adapter?",
    method:
      "milliseconds per operator of a chain in which each is fed by the one before, with one upload and one download; " +
      "candidates take turns in every round; error is the largest difference from toile f32 over the largest magnitude; " +
      "no node of ORT's WebGPU sessions runs on the CPU, GroupNormalization apart",
    ...facts,
    warmUps: 2,
    rows: CASES.flatMap((entry) => rows.get(entry.name) ?? []),
  });
}
process.exit(0);
