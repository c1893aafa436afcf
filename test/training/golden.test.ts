import { describe, expect, test } from "vitest";
import { loadModule } from "../../src/checkpoint/load.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { requestDevice } from "../../src/node/device.ts";
import { directory } from "../../src/node/files.ts";
import { valueAndGrad } from "../../src/tensor/tape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { Masters, type TrainedNetwork } from "../../src/training/masters.ts";
import { Trainer } from "../../src/training/trainer.ts";
import { tryOnLoss, type TryOnBatch } from "../../src/training/tryon_loss.ts";
import { fixture, loadFixture, relErr } from "../helpers.ts";

// Five steps of joint training of both UNets, made with PyTorch; of large tensors the fixture holds samples.

const golden = loadFixture("training.safetensors");
const strides = JSON.parse(golden.metadata["stride"]!) as Record<string, number>;
const sampled = (name: string, values: Float32Array) => values.filter((_, i) => i % (strides[name] ?? 1) === 0);
const folder = directory(fixture("checkpoints"));
const gpu = await requestDevice();

async function load(name: string): Promise<TrainedNetwork & { module: UNet2DConditionModel }> {
  const base = `ootd/ootd_dc/checkpoint-36000/${name}`;
  const config = JSON.parse(await folder.text(`${base}/config.json`)) as Record<string, unknown>;
  const module = new UNet2DConditionModel(config);
  const source = await openCheckpoint(folder, `${base}/diffusion_pytorch_model`);
  await loadModule(gpu, module, source, { label: name, dtype: "f32" });
  await source.close();
  return { folder: name, module, config };
}

/** A reference tensor, [n, c, h, w] as [n, h, w, c]. */
function tensor(name: string): Tensor {
  const { data, shape } = golden.get(name)!;
  if (shape.length !== 4) return Tensor.from(gpu, data, shape);
  const [n, c, h, w] = shape as [number, number, number, number];
  const turned = Float32Array.from(data, (_, i) => {
    const [at, channel] = [Math.floor(i / c), i % c];
    return data[(Math.floor(at / (h * w)) * c + channel) * h * w + (at % (h * w))]!;
  });
  return Tensor.from(gpu, turned, [n, h, w, c]);
}

function batch(step: number): TryOnBatch {
  const dropped = golden.get(`step${step}.drop_garment`)!.data;
  const garment = golden.get(`step${step}.garment_latents`)!;
  const size = garment.data.length / dropped.length;
  const kept = garment.data.map((value, i) => (dropped[Math.floor(i / size)] ? 0 : value));
  golden.set(`step${step}.kept`, { ...garment, data: kept });
  return {
    noisy: tensor(`step${step}.noisy`),
    target: tensor(`step${step}.noise`),
    masked: tensor(`step${step}.masked_latents`),
    garment: tensor(`step${step}.kept`),
    promptEmbeds: tensor(`step${step}.prompt_embeds`),
    timesteps: [...golden.get(`step${step}.timesteps`)!.data],
  };
}

describe("the published system's training", async () => {
  const networks = [await load("unet_garm"), await load("unet_vton")] as const;
  const masters = await Masters.of(networks);
  const both = { garmentUnet: networks[0].module, tryOnUnet: networks[1].module };
  const { tensors } = masters;

  test("gradients of the first step", async () => {
    const { gradients } = valueAndGrad(gpu, () => {
      masters.bind();
      return tryOnLoss(both, batch(0));
    }, [...tensors.values()]);
    const wrong: string[] = [];
    for (const [i, name] of [...tensors.keys()].entries()) {
      const expected = golden.get(`step0.grad.${name}`)?.data;
      const whole = await gradients[i]?.data();
      const found = whole && sampled(`step0.grad.${name}`, whole);
      if (!expected !== !found) wrong.push(`${name}: ${found ? "a" : "no"} gradient`);
      if (!expected || !found) continue;
      const worst = Math.max(...found.map((value, at) => Math.abs(value - expected[at]!)));
      if (!(worst < 1e-6 || relErr(found, expected) < 1e-3)) wrong.push(`${name}: ${relErr(found, expected)}`);
      gradients[i]!.dispose();
    }
    expect(wrong).toEqual([]);
  });

  test("losses and weights of five steps", async () => {
    const before = new Map<string, Float32Array>();
    for (const [name, master] of tensors) before.set(name, await master.data());
    const options = { learningRate: 5e-5, maxTrainSteps: 5 };
    const trainer = new Trainer(masters, options);
    const losses: number[] = [];
    for (let step = 0; step < 5; step++) {
      const { loss, skipped } = await trainer.train([() => tryOnLoss(both, batch(step))]);
      expect(skipped).toBeUndefined();
      losses.push(loss);
    }
    for (const [step, loss] of losses.entries())
      expect(Math.abs(loss / golden.get("losses")!.data[step]! - 1)).toBeLessThan(1e-5);
    let [far, compared, worst] = [0, 0, 0];
    for (const [name, master] of tensors) {
      const values = await master.data();
      if (!golden.has(`step0.grad.${name}`)) expect([name, ...values]).toEqual([name, ...before.get(name)!]);
      const expected = golden.get(`final.${name}`)?.data;
      const found = sampled(`final.${name}`, values);
      for (const [i, value] of (expected ?? []).entries()) {
        const error = Math.abs(found[i]! - value);
        compared++;
        if (error > 2e-6) far++;
        worst = Math.max(worst, error);
      }
    }
    expect(compared).toBeGreaterThan(5_000);
    expect(far / compared).toBeLessThan(1e-3);
    expect(worst).toBeLessThan(1e-4);
    trainer.dispose();
  });
});
