import { afterAll, expect, test } from "vitest";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { initialize } from "../../src/nn/init.ts";
import { requestDevice } from "../../src/node/device.ts";
import { drawBatch, makeBatch, type EncodedPair } from "../../src/training/batches.ts";
import { Masters } from "../../src/training/masters.ts";
import { noiseLevels } from "../../src/training/noise_levels.ts";
import { Trainer } from "../../src/training/trainer.ts";
import { tryOnLoss } from "../../src/training/tryon_loss.ts";
import { normal } from "../helpers.ts";

const gpu = await requestDevice();
afterAll(() => gpu.destroy());

const CONFIG = {
  block_out_channels: [8, 16],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  ...{ layers_per_block: 1, attention_head_dim: 2, cross_attention_dim: 8, norm_num_groups: 4 },
};
const SHAPE = [4, 4, 4] as const;
const levels = noiseLevels({
  ...{ num_train_timesteps: 1000, beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" },
});
const pair: EncodedPair = {
  shape: [...SHAPE],
  ...{ target: normal(1, 64), masked: normal(2, 64), garment: normal(3, 64) },
  region: new Float32Array(16).fill(1),
  ...{ promptEmbeds: normal(4, 16), promptShape: [2, 8] },
};

// Bind groups and buffers wait for the garbage collector: a run of many steps must not make them at every step.
test.each([1, 2])(
  "with %i micro-batches, a training that has begun needs no new bind groups or buffers",
  async (micro) => {
    let made = 0;
    const create = gpu.gpu.createBindGroup.bind(gpu.gpu);
    gpu.gpu.createBindGroup = (descriptor) => (made++, create(descriptor));
    const network = (folder: string, inputs: number) => {
      const module = new UNet2DConditionModel({ ...CONFIG, in_channels: inputs });
      initialize(gpu, module, inputs);
      return { folder, module, config: CONFIG };
    };
    const networks = [network("unet_garm", 4), network("unet_vton", 8)] as const;
    const unets = { garmentUnet: networks[0].module, tryOnUnet: networks[1].module };
    const masters = await Masters.of(networks);
    const trainer = new Trainer(masters, { learningRate: 1e-4, maxTrainSteps: 40, maxGradNorm: 1 });
    const each: { made: number; allocations: number }[] = [];
    for (let step = 0; step < 12; step++) {
      const before = { made, allocations: gpu.memory.allocations };
      const losses = Array.from({ length: micro }, (_, i) => () => {
        const draw = drawBatch(i, step, 2, pair.shape, { levels });
        return tryOnLoss(unets, makeBatch(gpu, [pair, pair], draw, { levels }));
      });
      await trainer.train(losses);
      each.push({ made: made - before.made, allocations: gpu.memory.allocations - before.allocations });
    }
    for (const part of [trainer, masters, ...networks.map(({ module }) => module)]) part.dispose();
    gpu.gpu.createBindGroup = create;
    expect(each[0]!.made).toBeGreaterThan(500);
    expect(each.slice(8)).toEqual(Array.from({ length: 4 }, () => ({ made: 0, allocations: 0 })));
  },
);
