import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { outputFolder } from "../../src/node/staging.ts";
import { requestDevice } from "../../src/node/device.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { AdamW } from "../../src/training/adamw.ts";
import {
  checkpoints,
  findCheckpoint,
  removeUnfinished,
  restoreCheckpoint,
  saveCheckpoint,
} from "../../src/training/checkpoint.ts";
import { EMAModel } from "../../src/training/ema.ts";
import { initialize } from "../../src/nn/init.ts";
import { Masters, SUBSETS, type TrainedNetwork } from "../../src/training/masters.ts";
import { normal } from "../helpers.ts";

const CONFIG = {
  in_channels: 8,
  block_out_channels: [8, 12],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  layers_per_block: 1,
  attention_head_dim: 2,
  cross_attention_dim: 6,
  norm_num_groups: 4,
};

const gpu = await requestDevice();
const folder = mkdtempSync(join(tmpdir(), "toile-checkpoint-"));
beforeEach(() => rmSync(folder, { recursive: true, force: true }));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A network with weights, an optimiser and an average. */
async function run(dtype: "f32" | "f16", seed: number, trains?: (name: string) => boolean) {
  const network: TrainedNetwork = { folder: "unet_vton", module: new UNet2DConditionModel(CONFIG), config: CONFIG };
  initialize(gpu, network.module, seed);
  const masters = await Masters.of([network], { dtype, ...(trains && { trains }) });
  const { tensors } = masters;
  return { network, masters, optimizer: new AdamW(gpu, tensors), ema: new EMAModel(gpu, tensors) };
}

type Run = Awaited<ReturnType<typeof run>>;

function step({ masters, optimizer, ema }: Run, number: number): void {
  gpu.scope(() => {
    const moved = [...masters.tensors].slice(0, -2); // two have no gradient
    const gradients = moved.map(
      ([name, { shape, size }], i) => [name, Tensor.from(gpu, normal(1000 * number + i, size), shape)] as const,
    );
    optimizer.step(new Map(gradients), { lr: 1e-3 });
    ema.step();
    masters.bind();
  });
}

async function numbers({ network, masters, optimizer, ema }: Run): Promise<Float32Array[]> {
  const tensors = [
    ...[...network.module.parameters()].map(([, { tensor }]) => tensor),
    ...masters.tensors.values(),
    ...[...optimizer.slots.values()].flatMap(({ mean, square }) => [mean, square]),
    ...ema.shadow.values(),
  ];
  return numbersOf(tensors);
}

const numbersOf = (tensors: readonly Tensor[]) => Promise.all(tensors.map((tensor) => tensor.data()));

function dispose({ network, masters, optimizer, ema }: Run): void {
  for (const part of [network.module, masters, optimizer, ema]) part.dispose();
}

const stateOf = ({ network, masters, optimizer, ema }: Run) => ({ networks: [network], masters, optimizer, ema });

describe.each(["f32", "f16"] as const)("checkpoints of a training in %s", (dtype) => {
  test.skipIf(dtype === "f16" && !gpu.facts.f16)("going on from one is going on", async () => {
    const output = outputFolder(folder);
    const whole = await run(dtype, 1);
    for (const n of [1, 2, 3]) step(whole, n);
    const name = await saveCheckpoint(output, stateOf(whole), { step: 3, seed: 7 });
    expect(name).toBe("checkpoint-3");
    const resumed = await run(dtype, 500); // other weights: all of them must be replaced
    const state = await restoreCheckpoint(output, name, stateOf(resumed));
    expect(state).toMatchObject({ step: 3, seed: 7 });
    for (const one of [whole, resumed]) for (const n of [4, 5]) step(one, n);
    expect(await numbers(resumed)).toEqual(await numbers(whole));
    for (const one of [whole, resumed]) dispose(one);
    await gpu.flush();
    expect(gpu.memory.live).toBe(0);
  });
});

describe.each(["f32", "f16"] as const)("a training in %s of a part", (dtype) => {
  const skips = dtype === "f16" && !gpu.facts.f16;
  const contents = (file: string) => readFileSync(join(folder, file, "diffusion_pytorch_model.safetensors"));

  test.skipIf(skips)("keeps what the training of the whole had learnt before it", async () => {
    const output = outputFolder(folder);
    const whole = await run(dtype, 1);
    step(whole, 1);
    await saveCheckpoint(output, stateOf(whole), { step: 1 });
    const part = await run(dtype, 500, SUBSETS.fusion);
    await restoreCheckpoint(output, "checkpoint-1", stateOf(part));
    const computing = ({ network }: Run) => numbersOf([...network.module.parameters()].map(([, { tensor }]) => tensor));
    const [inPart, inWhole] = [await computing(part), await computing(whole)];
    expect(inPart.every((values, i) => Buffer.from(values.buffer).equals(Buffer.from(inWhole[i]!.buffer)))).toBe(true);
    await saveCheckpoint(output, stateOf(part), { step: 2 });
    expect(contents("checkpoint-2/unet_vton").equals(contents("checkpoint-1/unet_vton"))).toBe(true);
    for (const one of [whole, part]) dispose(one);
  });

  test.skipIf(skips)("writes the weights that do not move bit for bit", async () => {
    const output = outputFolder(folder);
    const start = await run("f32", 1);
    const part = await run(dtype, 1, SUBSETS.fusion);
    await saveCheckpoint(output, stateOf(start), { step: 1 });
    await saveCheckpoint(output, stateOf(part), { step: 2 });
    for (const name of ["unet_vton", "unet_vton_ema"])
      expect(contents(`checkpoint-2/${name}`).equals(contents(`checkpoint-1/${name}`))).toBe(true);
    for (const one of [start, part]) dispose(one);
  });
});

test("a checkpoint appears whole, in the published layout, and the oldest go after the newest is there", async () => {
  const output = outputFolder(folder);
  const one = await run("f32", 1);
  mkdirSync(join(folder, "checkpoint-9.tmp"), { recursive: true }); // what a killed run left
  for (const n of [8, 9, 10]) await saveCheckpoint(output, stateOf(one), { step: n }, 2);
  expect(readdirSync(folder).sort()).toEqual(["checkpoint-10", "checkpoint-9"]);
  expect((await checkpoints(output)).map(({ step }) => step)).toEqual([9, 10]);
  expect(readdirSync(join(folder, "checkpoint-10")).sort()).toEqual([
    "manifest.json",
    "optimizer.safetensors",
    "trainer_state.json",
    "unet_vton",
    "unet_vton_ema",
  ]);
  const config: unknown = JSON.parse(readFileSync(join(folder, "checkpoint-10/unet_vton/config.json"), "utf8"));
  expect(config).toEqual(CONFIG);
  await saveCheckpoint(output, stateOf(one), { step: 4 }, 1); // whoever went back keeps what is written now
  expect((await checkpoints(output)).map(({ step }) => step)).toEqual([4, 9, 10]);
  for (const name of ["checkpoint-7.tmp", "checkpoint-10.old.tmp", "mine.tmp"])
    mkdirSync(join(folder, name, "unet"), { recursive: true });
  await saveCheckpoint(output, stateOf(one), { step: 10 });
  await removeUnfinished(output);
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual(["mine.tmp"]);
  dispose(one);
});

test("the latest whole checkpoint is found; a damaged one is passed over, or refused by name", async () => {
  const output = outputFolder(folder);
  expect(await findCheckpoint(output, "latest")).toBeUndefined();
  const one = await run("f32", 1);
  for (const n of [2, 30]) await saveCheckpoint(output, stateOf(one), { step: n });
  expect(await findCheckpoint(output, "latest")).toBe("checkpoint-30");
  appendFileSync(join(folder, "checkpoint-30/optimizer.safetensors"), "x");
  expect(await findCheckpoint(output, "latest")).toBe("checkpoint-2");
  await expect(findCheckpoint(output, "checkpoint-30")).rejects.toThrow(
    "checkpoint-30: optimizer.safetensors is not what its manifest says",
  );
  await expect(findCheckpoint(output, "checkpoint-31")).rejects.toThrow("manifest.json is missing");
  dispose(one);
});

test("a checkpoint that cannot be finished leaves nothing behind and the last one whole", async () => {
  const output = outputFolder(folder);
  const one = await run("f32", 1);
  await saveCheckpoint(output, stateOf(one), { step: 1 });
  const full = {
    ...output,
    stage: async (name: string) => {
      const staged = await output.stage(name);
      const write = async () => {
        throw new Error("no space is left on the disk");
      };
      return { ...staged, write };
    },
  };
  await expect(saveCheckpoint(full, stateOf(one), { step: 2 }, 1)).rejects.toThrow("no space is left");
  expect(readdirSync(folder)).toEqual(["checkpoint-1"]);
  expect(existsSync(join(folder, "checkpoint-1/manifest.json"))).toBe(true);
  dispose(one);
});
