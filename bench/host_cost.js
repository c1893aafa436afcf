// Question: what does a dispatch cost the host, recorded anew at each step and replayed?
// The try-on UNet's structure in narrow, on Dawn's null backend, which computes nothing: all the time is the host's.
// Run: npm run build && node bench/host_cost.js
import { execSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { Concat, Tensor, UNet2DConditionModel, loadModule, ops } from "../dist/index.js";
import { requestDevice } from "../dist/node.js";

const RUNS = 31;
const LIMIT = 8; // microseconds of processor time for a dispatch of a replay: the clock counts other programs too
const CHANNELS = [64, 128, 256, 256];
const [HEIGHT, WIDTH, BATCH] = [16, 12, 2];
const device = await requestDevice({ backend: "null" });
const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** A checkpoint of zeros. */
function zeros(module) {
  const entries = [...module.parameters()].map(([name, { shape }]) => [name, { name, dtype: "F32", shape }]);
  const tensors = new Map(entries);
  const read = async (name) => new Uint8Array(4 * product(tensors.get(name).shape));
  return { name: "zeros", tensors, metadata: new Map(), read, close: async () => {} };
}

const unet = new UNet2DConditionModel({ in_channels: 8, block_out_channels: CHANNELS, cross_attention_dim: 64 });
await loadModule(device, unet, zeros(unet), { label: "unet", dtype: "f32" });
const sizes = [0, 0, 1, 1, 2, 2, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0].map((level) => (HEIGHT * WIDTH) >> (2 * level));
const tokens = unet
  .transformerBlocks()
  .map(({ norm1 }, i) => Tensor.zeros(device, [BATCH, sizes[i], norm1.weight.shape[0]]));
const fusion = new Concat(tokens);
fusion.prepare(unet.transformerBlocks());
const text = unet.encodeText(Tensor.zeros(device, [1, 2, 64])).keep();
const times = unet.encodeTime([900, 500, 100]).keep();
const time = times.chosen();
const x = Tensor.zeros(device, [1, HEIGHT, WIDTH, 4]);
const masked = Tensor.zeros(device, [BATCH, HEIGHT, WIDTH, 4]);
const step = () => unet.forward(ops.concat([ops.repeat(x, BATCH), masked], 3), time, text, { fusion });

/** Microseconds from the call until everything was submitted and answered: by the clock, and of processor time. */
async function micros(work) {
  const [start, before] = [performance.now(), process.cpuUsage()];
  await work();
  await device.flush();
  const { user, system } = process.cpuUsage(before);
  return { clock: (performance.now() - start) * 1000, processor: user + system };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Times of one dispatch, after two passes of warm-up. */
async function measure(work, dispatches) {
  for (let i = 0; i < 2; i++) await micros(work);
  const runs = [];
  const { allocations } = device.memory;
  for (let i = 0; i < RUNS; i++) runs.push(await micros(work));
  const summary = (name) => {
    const sorted = runs.map((run) => run[name] / dispatches).sort((a, b) => a - b);
    return { median: median(sorted), spread: [sorted[0], sorted.at(-1)] };
  };
  return {
    processor: summary("processor"),
    clock: summary("clock"),
    allocations: device.memory.allocations - allocations,
  };
}

const cold = await micros(() => device.scope(() => void step())); // compiles
const started = performance.now();
const recording = device.record(step);
const recorded = (performance.now() - started) * 1000;
const firstReplay = await micros(() => void recording.replay());
const dispatches = recording.length;
const eager = await measure(() => device.scope(() => void step()), dispatches);
const replay = await measure(() => void recording.replay(), dispatches);
const report = {
  question: "what does a dispatch cost the host, recorded anew at each step and replayed?",
  commit: execSync("git rev-parse --short HEAD").toString().trim(),
  adapter: device.facts.name,
  node: process.version,
  network: { channels: CHANNELS, latents: [BATCH, HEIGHT, WIDTH, 8], dispatchesAndCopies: dispatches },
  microsecondsEach: { eager, replay, limit: LIMIT },
  milliseconds: { coldPass: cold.clock / 1000, recordAndPlan: recorded / 1000, firstReplay: firstReplay.clock / 1000 },
  memory: recording.memory,
};
report.ok = replay.processor.median <= LIMIT && replay.allocations === 0;
mkdirSync(new URL("results/", import.meta.url), { recursive: true });
writeFileSync(new URL("results/host_cost.json", import.meta.url), `${JSON.stringify(report, null, 2)}\n`);
console.log(JSON.stringify(report, null, 2));
device.destroy();
process.exitCode = report.ok ? 0 : 1;
