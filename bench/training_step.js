// Question: what does a training step of both UNets cost beside its forward pass alone?
// Run: npm run build && node bench/training_step.js [SIZE…] [--rounds 5] [--checkpointing]
// A step is the forward pass under a tape, the backward pass, the gradients' norms read back, AdamW, and the copies of
// the masters that the networks compute with. The forward pass is the same loss without a tape, its number read back.
import { parseArgs } from "node:util";
import {
  Masters,
  Tensor,
  TorchGenerator,
  Trainer,
  UNet2DConditionModel,
  loadModule,
  tryOnLoss,
} from "../dist/index.js";
import { requestDevice } from "../dist/node.js";
import { runFacts, writeResult } from "./lib/facts.js";
import { formulaSource } from "./lib/formula.js";
import { roundRobin } from "./lib/timing.js";

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "5" }, checkpointing: { type: "boolean", default: false } },
});
const { checkpointing } = options;

/** Channels of the levels, and [samples, height, width] of the latents. The last two have Stable Diffusion's heads. */
const SIZES = {
  "few: 32, 48, 64 channels, 4 latents of 24x16": { channels: [32, 48, 64], layers: 1, latents: [4, 24, 16] },
  "many: 32, 64, 64 channels, 16 latents of 24x18": { channels: [32, 64, 64], layers: 1, latents: [16, 24, 18] },
  "wide: 64, 128, 256 channels, 4 latents of 32x24": { channels: [64, 128, 256], layers: 2, latents: [4, 32, 24] },
  "heads of 40, 80, 160: 80, 160, 320 channels, 8 latents of 32x24": {
    ...{ channels: [80, 160, 320], heads: 2, layers: 1, latents: [8, 32, 24] },
  },
  "heads of 40, 80: 160, 320 channels, 8 latents of 32x24": {
    ...{ channels: [160, 320], heads: 4, layers: 1, latents: [8, 32, 24] },
  },
};
const WIDTH = 64; // of the conditioning
const TOKENS = 3;

const device = await requestDevice();
const random = new TorchGenerator(0);
const tensor = (...shape) => Tensor.from(device, random.randn(shape), shape);

async function setup({ channels, layers, heads = 4, latents: [n, h, w] }) {
  const config = {
    block_out_channels: channels,
    down_block_types: channels.map(() => "CrossAttnDownBlock2D"),
    up_block_types: channels.map(() => "CrossAttnUpBlock2D"),
    ...{ layers_per_block: layers, attention_head_dim: heads, cross_attention_dim: WIDTH, norm_num_groups: 8 },
  };
  const load = async (folder, inputs) => {
    const module = new UNet2DConditionModel({ ...config, in_channels: inputs });
    await loadModule(device, module, formulaSource(folder, module), { label: folder, dtype: "f32" });
    return { folder, module, config };
  };
  const networks = [await load("unet_garm", 4), await load("unet_vton", 8)];
  const masters = await Masters.of(networks);
  const trainer = new Trainer(masters, { learningRate: 1e-5, maxTrainSteps: 1000, maxGradNorm: 1 });
  const pictures = ["noisy", "target", "masked", "garment"].map((name) => [name, tensor(n, h, w, 4)]);
  const timesteps = Array.from({ length: n }, (_, i) => 100 + 200 * i);
  const batch = { ...Object.fromEntries(pictures), promptEmbeds: tensor(n, TOKENS, WIDTH), timesteps };
  const unets = { garmentUnet: networks[0].module, tryOnUnet: networks[1].module };
  const parameters = [...masters.tensors.values()].reduce((sum, { size }) => sum + size, 0);
  const forward = {
    run: async () => {
      const loss = device.scope(() => tryOnLoss(unets, batch));
      await loss.data();
      loss.dispose();
    },
  };
  const step = {
    run: async () => {
      await trainer.train([() => tryOnLoss(unets, batch, { checkpointing })]);
      await device.flush();
    },
  };
  const dispose = () => {
    for (const part of [trainer, masters, ...networks.map(({ module }) => module)]) part.dispose();
    for (const held of Object.values(batch)) if (held instanceof Tensor) held.dispose();
  };
  return { forward, step, parameters, dispose };
}

const rows = [];
for (const [name, size] of Object.entries(SIZES)) {
  if (names.length > 0 && !names.some((part) => name.startsWith(part))) continue;
  const { forward, step, parameters, dispose } = await setup(size);
  const times = await roundRobin([forward, step], { rounds: Number(options.rounds), warmUps: 2, patience: 30_000 });
  const row = { name, parameters, checkpointing, forward: times.get(forward), step: times.get(step) };
  row.ratio = Number((row.step.median / row.forward.median).toFixed(2));
  row.processorRatio = Number((row.step.processor / row.forward.processor).toFixed(2));
  rows.push(row);
  console.log(
    `${name}, ${(parameters / 1e6).toFixed(1)} million parameters: forward ${row.forward.median} ms, step ` +
      `${row.step.median} ms, ${row.ratio} times (by processor time ${row.processorRatio})`,
  );
  dispose();
}
writeResult(checkpointing ? "training_step-checkpointing" : "training_step", { ...runFacts(device), asked: 4, rows });
device.destroy();
