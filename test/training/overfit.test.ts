import { afterAll, expect, test } from "vitest";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { initialize } from "../../src/nn/init.ts";
import { requestDevice } from "../../src/node/device.ts";
import { drawBatch, makeBatch, type BatchDraw, type EncodedPair } from "../../src/training/batches.ts";
import { Masters } from "../../src/training/masters.ts";
import { noiseLevels } from "../../src/training/noise_levels.ts";
import { Trainer } from "../../src/training/trainer.ts";
import { tryOnLoss } from "../../src/training/tryon_loss.ts";
import { normal } from "../helpers.ts";

// The short form of learning one pair by heart: the loss over a fixed grid of timesteps and noises falls, and more for
// that pair than for another truth beside the same pictures.

const gpu = await requestDevice();
afterAll(() => gpu.destroy());

const CONFIG = {
  block_out_channels: [16, 24],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  ...{ layers_per_block: 1, attention_head_dim: 2, cross_attention_dim: 8, norm_num_groups: 4 },
};
const [SIDE, CHANNELS, BATCH, STEPS] = [4, 4, 8, 50];
const levels = noiseLevels({
  ...{ num_train_timesteps: 1000, beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" },
});

const latents = (seed: number) => normal(seed, SIDE * SIDE * CHANNELS);
const pair: EncodedPair = {
  shape: [SIDE, SIDE, CHANNELS],
  ...{ target: latents(1), masked: latents(2), garment: latents(3) },
  region: new Float32Array(SIDE * SIDE).fill(1),
  ...{ promptEmbeds: normal(4, 16), promptShape: [2, 8] },
};

/** Every hundredth timestep with noise that no training step sees. */
const grid: BatchDraw = {
  timesteps: Array.from({ length: 10 }, (_, i) => 50 + 100 * i),
  dropped: Array.from({ length: 10 }, () => false),
  noise: normal(99, 10 * SIDE * SIDE * CHANNELS),
};

test("a pair is learnt by heart", { timeout: 300_000 }, async () => {
  const network = (folder: string, inputs: number) => {
    const module = new UNet2DConditionModel({ ...CONFIG, in_channels: inputs });
    initialize(gpu, module, inputs);
    return { folder, module, config: CONFIG };
  };
  const networks = [network("unet_garm", CHANNELS), network("unet_vton", 2 * CHANNELS)] as const;
  const unets = { garmentUnet: networks[0].module, tryOnUnet: networks[1].module };
  const masters = await Masters.of(networks);
  const options = { learningRate: 4e-3, lrScheduler: "cosine", lrWarmupSteps: 5, maxTrainSteps: STEPS } as const;
  const trainer = new Trainer(masters, { ...options, weightDecay: 0, maxGradNorm: 1, networks });
  const lossOf = (of: EncodedPair, draw: BatchDraw) =>
    tryOnLoss(
      unets,
      makeBatch(
        gpu,
        Array.from(draw.timesteps, () => of),
        draw,
        { levels },
      ),
    );
  const overGrid = async (of = pair) => (await gpu.scope(() => lossOf(of, grid)).data())[0]!;
  const before = await overGrid();
  for (let step = 0; step < STEPS; step++) {
    const draw = drawBatch(7, step, BATCH, pair.shape, { levels, garmentDropout: 0 });
    await trainer.train([() => lossOf(pair, draw)]);
  }
  const [after, another] = [await overGrid(), await overGrid({ ...pair, target: latents(5) })];
  expect(before).toBeGreaterThan(0.9);
  expect(after).toBeLessThan(0.5);
  expect(another).toBeGreaterThan(1.4 * after);
});
