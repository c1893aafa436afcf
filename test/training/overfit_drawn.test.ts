import { afterAll, describe, expect, test } from "vitest";
import { psnr } from "../../src/evaluation/similarity.ts";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { initialize } from "../../src/nn/init.ts";
import { requestDevice } from "../../src/node/device.ts";
import { directory } from "../../src/node/files.ts";
import { loadEncoders } from "../../src/pipelines/components.ts";
import { encodePrompt } from "../../src/pipelines/conditioning.ts";
import { Runner } from "../../src/pipelines/runner.ts";
import { drawBatch, makeBatch, type BatchDraw } from "../../src/training/batches.ts";
import { drawnDataset } from "../../src/training/data/drawn.ts";
import { encodePair } from "../../src/training/encode.ts";
import { Masters } from "../../src/training/masters.ts";
import { noiseLevels } from "../../src/training/noise_levels.ts";
import { Trainer } from "../../src/training/trainer.ts";
import { tryOnLoss } from "../../src/training/tryon_loss.ts";
import { TorchGenerator } from "../../src/util/random.ts";

// The long form of learning one pair by heart, ten minutes on two cores: TOILE_LONG=1 runs it.

const [SIZE, STEPS, BATCH] = [64, 500, 8];

describe.runIf(process.env["TOILE_LONG"] === "1")("a drawn pair is learnt by heart", () => {
  test("in its loss and in its picture", { timeout: 1_200_000 }, async () => {
    const gpu = await requestDevice();
    afterAll(() => gpu.destroy());
    const folder = directory("weights");
    const shipped = await loadEncoders(gpu, folder, { dtype: "f32" });
    // what is published learns the noise
    const encoders = { ...shipped, scheduler: { ...shipped.scheduler, prediction_type: "epsilon" } };
    const levels = noiseLevels(encoders.scheduler);
    const dataset = await drawnDataset({ seed: 5, width: SIZE, height: SIZE, framing: "half", mask: { model: "hd" } });
    const { person, garment, mask, category, truth } = await dataset.get(0);
    const pair = await encodePair(
      gpu,
      {
        vae: encoders.vae,
        encodePrompt: (picture, kind) =>
          encodePrompt({
            ...{ device: gpu, components: encoders, model: "hd" },
            garment: picture,
            category: kind,
          }).prompt,
      },
      { person, garment, mask, category, truth },
    );
    const latent = encoders.vae.config.latent_channels;
    const config = {
      block_out_channels: [32, 64],
      down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
      up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
      ...{ layers_per_block: 1, attention_head_dim: 4, cross_attention_dim: 32, norm_num_groups: 8 },
      out_channels: latent,
    };
    const network = (name: string, inputs: number) => {
      const module = new UNet2DConditionModel({ ...config, in_channels: inputs });
      initialize(gpu, module, inputs);
      return { folder: name, module, config };
    };
    const networks = [network("unet_garm", latent), network("unet_vton", 2 * latent)] as const;
    const unets = { garmentUnet: networks[0].module, tryOnUnet: networks[1].module };
    const rate = { learningRate: 4e-3, lrScheduler: "cosine", lrWarmupSteps: 20, maxTrainSteps: STEPS } as const;
    const trainer = new Trainer(await Masters.of(networks), { ...rate, weightDecay: 0, maxGradNorm: 1, networks });
    const lossOf = (draw: BatchDraw) => {
      const pairs = Array.from(draw.timesteps, () => pair);
      return tryOnLoss(unets, makeBatch(gpu, pairs, draw, { levels }));
    };
    for (let step = 0; step < STEPS; step++) {
      const draw = drawBatch(7, step, BATCH, pair.shape, { levels, garmentDropout: 0 });
      await trainer.train([() => lossOf(draw)]);
    }

    // every fiftieth timestep with noise that no training step sees
    const grid = {
      timesteps: Array.from({ length: 20 }, (_, i) => 25 + 50 * i),
      dropped: Array.from({ length: 20 }, () => false),
      noise: new TorchGenerator(99).randn([20, ...pair.shape]),
    };
    const [loss] = await gpu.scope(() => lossOf(grid)).data();
    const fusions = { of: async () => ({ module: undefined, note: undefined }) };
    const runner = new Runner(gpu, folder, { ...encoders, ...unets, fusions }, "hd", "f32");
    const size = { width: SIZE, height: SIZE, fit: "stretch", seed: 0, guidanceScale: 1 } as const;
    const { images } = await runner.run({ person, garment, mask, category, ...size });
    const decibels = psnr(images[0]!, truth!);
    process.stderr.write(`mean loss over the grid ${loss}, the picture ${decibels.toFixed(2)} dB\n`);
    expect(loss).toBeLessThan(0.02);
    expect(decibels).toBeGreaterThan(22);
  });
});
