import { afterAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { dryDevice } from "../../src/gpu/dry.ts";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { loadPlaceholders } from "../../src/nn/placeholders.ts";
import { requestDevice } from "../../src/node/device.ts";
import { TYPICAL_GPU } from "../../src/pipelines/memory.ts";
import { valueAndGrad } from "../../src/tensor/tape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { initialize } from "../../src/nn/init.ts";
import { Masters } from "../../src/training/masters.ts";
import { tryOnLoss, type TryOnBatch, type TryOnNetworks } from "../../src/training/tryon_loss.ts";
import { count, type Shape } from "../../src/util/shape.ts";
import { normal, relErr } from "../helpers.ts";

const gpu = await requestDevice();
afterAll(() => gpu.destroy());

const SMALL = {
  block_out_channels: [8, 16],
  down_block_types: ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
  ...{ layers_per_block: 1, attention_head_dim: 2, cross_attention_dim: 12, norm_num_groups: 4 },
};

interface Sizes {
  readonly samples: number;
  readonly height: number;
  readonly width: number;
  readonly context: number;
}

/** A micro-batch of any numbers. */
function batchOf(device: Device, { samples, height, width, context }: Sizes, fill: (shape: Shape) => Float32Array) {
  const tensor = (...shape: number[]) => Tensor.from(device, fill(shape), shape);
  const latents = () => tensor(samples, height, width, 4);
  const timesteps = Array.from({ length: samples }, (_, i) => 100 + 300 * i);
  const pictures = { noisy: latents(), target: latents(), masked: latents(), garment: latents() };
  return { ...pictures, promptEmbeds: tensor(samples, 2, context), timesteps } satisfies TryOnBatch;
}

test("layers that run again give the gradients of layers that are kept", async () => {
  const networks: TryOnNetworks = {
    garmentUnet: new UNet2DConditionModel({ ...SMALL, in_channels: 4 }),
    tryOnUnet: new UNet2DConditionModel({ ...SMALL, in_channels: 8 }),
  };
  const trained = Object.entries(networks).map(([folder, module], i) => {
    initialize(gpu, module, i);
    return { folder, module, config: {} };
  });
  const masters = await Masters.of(trained);
  let seed = 0;
  const batch = batchOf(gpu, { samples: 2, height: 8, width: 6, context: 12 }, (shape) => normal(++seed, count(shape)));
  const before = gpu.memory.live;
  const step = (checkpointing: boolean) => {
    let kept = 0;
    const loss = () => {
      masters.bind();
      const live = gpu.memory.live;
      const value = tryOnLoss(networks, batch, { checkpointing });
      kept = gpu.memory.live - live;
      return value;
    };
    return { ...valueAndGrad(gpu, loss, [...masters.tensors.values()]), kept };
  };
  const [plain, again] = [step(false), step(true)];
  expect(again.kept).toBeLessThan(plain.kept / 2);
  expect(await again.value.data()).toEqual(await plain.value.data());
  for (const [i, name] of [...masters.tensors.keys()].entries()) {
    const [expected, found] = [await plain.gradients[i]?.data(), await again.gradients[i]?.data()];
    expect([name, !found]).toEqual([name, !expected]);
    if (expected && found) expect([name, relErr(found, expected) < 1e-5]).toEqual([name, true]);
  }
  expect(plain.gradients.filter((gradient) => gradient).length).toBeGreaterThan(100);
  for (const { value, gradients } of [plain, again]) for (const t of [value, ...gradients]) t?.dispose();
  expect(gpu.memory.live).toBe(before);
});

interface Use {
  readonly bytes: number;
  freed: boolean;
}

/** The most bytes that are taken at one moment of `work` and given back before its end: all but the gradients. */
function peakOf(device: Device, work: () => void): number {
  const { alloc, release } = device;
  const events: { use: Use; sign: 1 | -1 }[] = [];
  const uses = new Map<object, Use>();
  device.alloc = (bytes) => {
    const view = alloc.call(device, bytes);
    const use = { bytes, freed: false };
    uses.set(view.buffer, use);
    events.push({ use, sign: 1 });
    return view;
  };
  device.release = (view) => {
    const use = uses.get(view.buffer);
    if (use) events.push({ use, sign: -1 });
    if (use) use.freed = true;
    uses.delete(view.buffer);
    return release.call(device, view);
  };
  try {
    work();
  } finally {
    Object.assign(device, { alloc, release });
  }
  let [live, peak] = [0, 0];
  for (const { use, sign } of events) if (use.freed) peak = Math.max(peak, (live += sign * use.bytes));
  return peak;
}

describe("Stable Diffusion 1.5's UNets, planned", () => {
  test("at 768x1024 running layers again takes less than a quarter of the activations", () => {
    const peak = (checkpointing: boolean) => {
      const device = dryDevice(TYPICAL_GPU);
      const networks: TryOnNetworks = {
        garmentUnet: loadPlaceholders(device, new UNet2DConditionModel({ in_channels: 4 }), "f32"),
        tryOnUnet: loadPlaceholders(device, new UNet2DConditionModel({ in_channels: 8 }), "f32"),
      };
      const weights = Object.values(networks).flatMap((unet) => [...unet.parameters()].map(([, { tensor }]) => tensor));
      const sizes = { samples: 1, height: 128, width: 96, context: 768 };
      return device.scope(() => {
        const batch = batchOf(device, sizes, (shape) => new Float32Array(count(shape)));
        return peakOf(device, () => valueAndGrad(device, () => tryOnLoss(networks, batch, { checkpointing }), weights));
      });
    };
    const [plain, again] = [peak(false), peak(true)];
    expect(plain).toBeGreaterThan(9e9);
    expect(again / plain).toBeLessThan(0.25);
  });
});
