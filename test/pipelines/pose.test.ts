import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesSource, type ByteSource, type Folder } from "../../src/checkpoint/source.ts";
import type { OpenposeBody } from "../../src/models/openpose/body.ts";
import { readImage } from "../../src/node/images.ts";
import { estimatePose, loadPoseNetwork, openPoseNetwork } from "../../src/pipelines/pose.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { InputError, NoPersonError, ShapeError } from "../../src/util/errors.ts";
import { py, torchLegacy, torchZip } from "../checkpoint/build.ts";
import { devices, fixture, normal } from "../helpers.ts";
import { parameters, published } from "../models/openpose/weights.ts";

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const [{ gpu }] = (await devices()) as [Awaited<ReturnType<typeof devices>>[number]];

// All tensors begin in one storage, so that a file of 52 million weights is a small one.
const most = Math.max(...parameters.map(([, shape]) => product(shape)));
const storage = normal(3, most, { scale: 0.02 });
const bytes = new Uint8Array(storage.buffer);

function code(rename: (name: string) => string) {
  const strides = (shape: number[]) => shape.map((_, i) => product(shape.slice(i + 1)));
  return py.dict(
    ...parameters.map(([name, shape]): [number[], readonly number[]] => [
      [...py.str(rename(name))],
      py.tensor(py.storage("0", most), shape, strides(shape)),
    ]),
  );
}

/** The same weights as a safetensors file, whose bytes are made as they are read. */
function safetensors(rename: (name: string) => string): ByteSource {
  let end = 0;
  const starts: number[] = [];
  const entries = parameters.map(([name, shape]) => {
    starts.push(end);
    end += 4 * product(shape);
    return [rename(name), { dtype: "F32", shape, data_offsets: [starts.at(-1), end] }] as const;
  });
  const json = JSON.stringify(Object.fromEntries(entries));
  const header = Buffer.from(json + " ".repeat((8 - (json.length % 8)) % 8));
  const head = Buffer.concat([new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer), header]);
  return {
    name: "body_pose_model.safetensors",
    size: head.length + end,
    read: async (offset, length) => {
      if (offset + length <= head.length) return Uint8Array.from(head.subarray(offset, offset + length));
      const start = starts.findLast((start) => start <= offset - head.length)!;
      return bytes.slice(offset - head.length - start, offset - head.length - start + length);
    },
  };
}

/** Fields and heat maps of a small picture. */
async function answer(network: OpenposeBody): Promise<Float32Array[]> {
  const maps = gpu.scope(() => network.forward(Tensor.from(gpu, normal(1, 24 * 16 * 3), [1, 24, 16, 3])));
  const result = [await maps.paf.data(), await maps.heat.data()];
  for (const tensor of [maps.paf, maps.heat]) tensor.dispose();
  network.dispose();
  return result;
}

describe("loading", () => {
  let expected: Float32Array[];
  beforeAll(async () => void (expected = await answer(await loadPoseNetwork(gpu, safetensors(published)))), 60_000);

  test.each([
    ["a .pth", () => bytesSource("body_pose_model.pth", torchZip(code(published), { "0": bytes }))],
    [
      "a .pth from before PyTorch 1.6",
      () => bytesSource("body_pose_model.pth", torchLegacy(code(published), { "0": bytes })),
    ],
    ["keys with the prefixes of the code's modules", () => safetensors((name) => name)],
  ])("%s loads like safetensors", { timeout: 60_000 }, async (_, open) => {
    expect(expected[0]!.some((value) => value !== 0)).toBe(true);
    expect(await answer(await loadPoseNetwork(gpu, open()))).toEqual(expected);
  });

  test("a file that lacks a tensor or has one too many is refused by their names", async () => {
    const other = (name: string) => (published(name) === "conv1_1.bias" ? "conv9_9.bias" : published(name));
    const load = loadPoseNetwork(gpu, bytesSource("body_pose_model.pth", torchZip(code(other), { "0": bytes })));
    await expect(load).rejects.toThrow(/openpose: 1 missing, 1 unexpected[^]*missing +conv1_1\.bias[^]*conv9_9\.bias/);
  });

  test("a folder without the file is told which one, and how to do without", async () => {
    const folder: Folder = {
      name: "checkpoints",
      has: async () => false,
      open: () => Promise.reject(new Error("no")),
      text: () => Promise.reject(new Error("no")),
    };
    const load = openPoseNetwork(gpu, folder);
    await expect(load).rejects.toThrow(InputError);
    await expect(load).rejects.toThrow(
      "checkpoints: openpose/ckpts/body_pose_model.pth is missing; without it `toile try-on` works with --mask, `toile mask` with --labels and --keypoints",
    );
  });
});

describe("estimating", () => {
  let network: OpenposeBody;
  beforeAll(async () => void (network = await loadPoseNetwork(gpu, safetensors(published))), 60_000);
  afterAll(() => network.dispose());

  test("an untrained network finds nobody, and nothing stays on the device", { timeout: 60_000 }, async () => {
    const image = await readImage(fixture("images/astronaut.bicubic.384x512.png"));
    const { live } = gpu.memory;
    await expect(estimatePose(gpu, network, image)).rejects.toThrow(NoPersonError);
    expect(gpu.memory.live).toBe(live);
  });

  test("another size is refused before anything runs", async () => {
    const image = { width: 768, height: 1024, data: new Uint8Array(768 * 1024 * 3) };
    await expect(estimatePose(gpu, network, image)).rejects.toThrow(ShapeError);
  });
});
