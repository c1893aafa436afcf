// Question: how long does a whole try-on take with the checkpoint that ships, phase by phase?
// Run: npm run build && node bench/tryon.js [--rounds 3] [--width 384] [--height 512] [--steps 4]
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { TryOnPipeline } from "../dist/index.js";
import { readImage, readMask, requestDevice } from "../dist/node.js";
import { runFacts, writeResult } from "./lib/facts.js";
import { summary } from "./lib/timing.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    width: { type: "string", default: "384" },
    height: { type: "string", default: "512" },
    steps: { type: "string", default: "4" },
  },
});
const [rounds, width, height, steps] = ["rounds", "width", "height", "steps"].map((name) => Number(values[name]));
const picture = (name) => fileURLToPath(new URL(`../examples/images/${name}.png`, import.meta.url));

const device = await requestDevice();
const start = performance.now();
const pipeline = await TryOnPipeline.fromPretrained(fileURLToPath(new URL("../weights", import.meta.url)), {
  device,
  model: "hd",
});
const load = performance.now() - start;
const inputs = {
  person: await readImage(picture("astronaut")),
  garment: await readImage(picture("striped-shirt")),
  mask: await readMask(picture("astronaut-mask")),
  width,
  height,
  steps,
  seed: 1,
};

const first = (await pipeline(inputs)).timings;
const runs = [];
for (let round = 0; round < rounds; round++) runs.push((await pipeline({ ...inputs, seed: 2 + round })).timings);
const phases = Object.fromEntries(
  Object.keys(first).map((phase) => [phase, summary(runs.map((run) => run[phase] ?? 0))]),
);

const result = {
  question: "how long does a whole try-on take, phase by phase?",
  method:
    "milliseconds in one process; the first run compiles every shader that the driver has not kept, the others follow",
  ...runFacts(device),
  checkpoint: "the small one in weights/, model hd",
  dtype: pipeline.dtype,
  width,
  height,
  steps,
  load,
  first,
  phases,
  peakDeviceMB: device.memory.peak / 2 ** 20,
};
console.log(JSON.stringify(result, null, 2));
writeResult("tryon", result);
process.exit(0);
