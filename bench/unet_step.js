// Question: how long does one step of the try-on UNet take, beside ONNX Runtime on the same network, and beside a direct
// transcription of the reference's arithmetic (queries of both pictures, nothing kept between steps)?
// Run: npm run build && node bench/unet_step.js [--size mid|real] [--rounds 5] [--dtype f32|f16] [--ours]
// mid: channels 128, 256, 512, 512, latents 32x24. real: Stable Diffusion 1.5's, latents 64x48, without ONNX Runtime.
import { parseArgs } from "node:util";
import { Concat, Tensor, UNet2DConditionModel, loadModule, ops } from "../dist/index.js";
import { requestDevice } from "../dist/node.js";
import { runFacts, writeResult } from "./lib/facts.js";
import { formulaSource, input } from "./lib/formula.js";
import { roundRobin } from "./lib/timing.js";
import { countStep } from "./lib/unet.js";

const { values: options } = parseArgs({
  options: {
    size: { type: "string", default: "mid" },
    rounds: { type: "string", default: "5" },
    dtype: { type: "string", default: "f32" },
    ours: { type: "boolean", default: false },
  },
});
const { dtype } = options;
const mid = options.size === "mid";
const config = {
  in_channels: 8,
  block_out_channels: mid ? [128, 256, 512, 512] : [320, 640, 1280, 1280],
  layers_per_block: 2,
  attention_head_dim: 8,
  cross_attention_dim: 768,
};
const sizes = mid ? { n: 2, h: 32, w: 24 } : { n: 2, h: 64, w: 48 };
const sampleShape = [sizes.n, sizes.h, sizes.w, config.in_channels];
const prefix = "unet_vton";
const timestep = 999;

const sampleValues = input("sample", sampleShape);
const device = await requestDevice();
const keep = (name, shape) => Tensor.from(device, input(name, shape), shape, dtype);

/** The published arithmetic in toile's own operators: every token of both pictures asks, the garment's answers are dropped. */
class BothQuery {
  constructor(garment) {
    this.garment = garment;
  }
  selfAttention({ index, norm1, attn1 }, tokens) {
    const both = norm1.forward(ops.concat([tokens, this.garment[index]], 1));
    return ops.add(ops.slice(attn1.forward(both), 1, 0, tokens.shape[1]), tokens);
  }
}

async function network() {
  const unet = new UNet2DConditionModel(config);
  await loadModule(device, unet, formulaSource(prefix, unet), { label: prefix, dtype });
  const channels = unet.transformerBlocks().map((block) => block.norm1.weight.shape[0]);
  const shrink = (c, i) => {
    const levels = [1, 1, 2, 2, 4, 4, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1];
    return [sizes.n, (sizes.h * sizes.w) / levels[i] ** 2, c];
  };
  const garment = channels.map((c, i) => keep(`garment.${i}`, shrink(c, i)));
  const text = keep("text", [sizes.n, 2, 768]);
  return { unet, garment, text };
}

/** Two of toile's steps: as the pipeline runs it, recorded, and the reference's arithmetic. */
function ours({ unet, garment, text }, sample) {
  const kept = { time: unet.encodeTime([timestep]), text: unet.encodeText(text), fusion: new Concat(garment) };
  const step = () => unet.forward(sample, kept.time.at(0), kept.text, { fusion: kept.fusion });
  device.scope(() => void step()); // the fusion computes the garment's keys and values
  const recording = device.record(step);
  const transcribed = () =>
    device.scope(() => {
      const time = unet.encodeTime([timestep]);
      return unet.forward(sample, time.at(0), unet.encodeText(text), { fusion: new BothQuery(garment) });
    });
  const done = async (y, read) => {
    const data = await (read ? y.data() : device.read(y.view));
    return data;
  };
  return [
    {
      name: `toile ${dtype}`,
      run: () => done(recording.replay()),
      values: () => done(recording.replay(), true),
      recording,
    },
    {
      name: `the reference's arithmetic in toile ${dtype}`,
      async run() {
        const y = transcribed();
        await done(y);
        y.dispose();
      },
      async values() {
        const y = transcribed();
        const data = await done(y, true);
        y.dispose();
        return data;
      },
    },
  ];
}

async function onnxRuntime() {
  const { openSession, ortTensor, ortValues, toPlanes } = await import("./lib/ort.js");
  const { unetModel } = await import("./lib/unet_onnx.js");
  const { n, h, w } = sizes;
  const model = unetModel(config, sizes, { prefix, timestep, dtype });
  const feeds = { sample: ortTensor(toPlanes(sampleValues, sampleShape), [n, config.in_channels, h, w], dtype) };
  const made = [];
  for (const provider of ["webgpu", "cpu"]) {
    const start = performance.now();
    const session = await openSession(model, provider);
    made.push({
      name: `onnxruntime ${provider} ${dtype}`,
      openMs: performance.now() - start,
      run: () => session.run(feeds),
      values: async () => toPlanes(ortValues((await session.run(feeds)).noise), [n, h, w, 4], true),
    });
  }
  return made;
}

function difference(actual, expected) {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0) / largest;
}

const parts = await network();
const sample = Tensor.from(device, sampleValues, sampleShape, dtype);
const candidates = ours(parts, sample);
if (mid && !options.ours) candidates.push(...(await onnxRuntime()));
const expected = await candidates[0].values();
for (const candidate of candidates) candidate.error = difference(await candidate.values(), expected);
const times = await roundRobin(candidates, { rounds: Number(options.rounds), warmUps: 0, patience: 1e9 });

const { recording } = candidates[0];
const work = countStep(config, sizes);
const reference = countStep(config, sizes, { reference: true });
const published = { ...config, block_out_channels: [320, 640, 1280, 1280] };
const large = { n: 2, h: 128, w: 96 };
const rows = Object.fromEntries(
  [...times].map(([{ name, error, openMs }, summary]) => [
    name,
    {
      ...summary,
      gflops: (name.startsWith("the reference") ? reference : work).total / summary.median / 1e6,
      error,
      openMs,
    },
  ]),
);
const ratio = (name, clock = "median") =>
  rows[name] && Number((rows[name][clock] / rows[`toile ${dtype}`][clock]).toFixed(2));
const result = {
  question: "how long does one step of the try-on UNet take?",
  method:
    "milliseconds of a step with its result read back; candidates take turns in every round, one untimed run before",
  ...runFacts(device),
  config,
  sizes,
  dtype,
  dispatches: recording.length,
  memory: recording.memory,
  candidates: rows,
  ratios: [
    {
      against: `onnxruntime webgpu ${dtype}`,
      reached: ratio(`onnxruntime webgpu ${dtype}`),
      processor: ratio(`onnxruntime webgpu ${dtype}`, "processor"),
      asked: mid ? 2.5 : undefined,
    },
    {
      against: "the reference's arithmetic in toile",
      reached: ratio(`the reference's arithmetic in toile ${dtype}`),
      processor: ratio(`the reference's arithmetic in toile ${dtype}`, "processor"),
      asked: mid ? undefined : 1.2,
    },
  ],
  operations: {
    thisSize: { ours: work, reference, ratio: reference.total / work.total },
    "768x1024": {
      ours: countStep(published, large),
      reference: countStep(published, large, { reference: true }),
      ratio: countStep(published, large, { reference: true }).total / countStep(published, large).total,
      asked: 1.5,
    },
  },
};
console.log(JSON.stringify(result, null, 2));
writeResult(`unet_step-${options.size}-${dtype}${options.ours ? "-ours" : ""}`, result);
process.exit(0);
