import { afterAll, describe, expect, test } from "vitest";
import { dryDevice } from "../../../src/gpu/dry.ts";
import type { DeviceFacts } from "../../../src/gpu/facts.ts";
import { Concat } from "../../../src/models/unet/fusion.ts";
import { UNet2DConditionModel } from "../../../src/models/unet/unet.ts";
import { loadPlaceholders } from "../../../src/nn/placeholders.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { devices, normal } from "../../helpers.ts";
import { loadTiny } from "../checkpoints.ts";

describe.each(await devices())("a recorded UNet on $name", async ({ gpu }) => {
  const unet = await loadTiny(
    gpu,
    "ootd/ootd_dc/checkpoint-36000/unet_vton",
    (config) => new UNet2DConditionModel(config),
  );
  const random = (seed: number, ...shape: number[]) =>
    Tensor.from(
      gpu,
      normal(
        seed,
        shape.reduce((a, b) => a * b),
      ),
      shape,
    );
  const [times, text] = [unet.encodeTime([981, 500, 1]), gpu.scope(() => unet.encodeText(random(1, 1, 4, 32)))];
  afterAll(() => [times, text, unet].forEach((thing) => thing.dispose()));
  const sizes = [48, 12, 48, 48]; // tokens at each block of an 8 x 6 sample

  test("gives the bits of the network at every timestep, and allocates nothing after the first", async () => {
    const garment = unet
      .transformerBlocks()
      .map(({ norm1 }, i) => random(10 + i, 2, sizes[i]!, norm1.weight.shape[0]!));
    const fusion = new Concat(garment);
    fusion.prepare(unet.transformerBlocks());
    for (const tokens of garment) tokens.dispose();
    const time = times.chosen();
    const sample = random(2, 2, 8, 6, 8);
    const recording = gpu.record(() => unet.forward(sample, time, text, { fusion }));
    const inputs = [3, 4, 5].map((seed) => random(seed, 2, 8, 6, 8));
    const recorded: Float32Array[] = [];
    let { allocations } = gpu.memory;
    for (const [step, input] of inputs.entries()) {
      sample.assign(input);
      time.choose(step);
      recorded.push(await recording.replay().data());
      if (step > 0) expect(gpu.memory.allocations).toBe(allocations);
      ({ allocations } = gpu.memory);
    }
    for (const [step, input] of inputs.entries()) {
      const direct = gpu.scope(() => unet.forward(input, times.at(step), text, { fusion }));
      expect(recorded[step]).toEqual(await direct.data());
      direct.dispose();
    }
    expect(recorded[0]).not.toEqual(recorded[1]);
    for (const thing of [recording, fusion, time, sample, ...inputs]) thing.dispose();
  });
});

// Stable Diffusion 1.5's network as the try-on runs it, on a device that only counts.
describe("the plan of a try-on step", () => {
  const most = 2 ** 32 - 4;
  const facts: DeviceFacts = {
    name: "dry",
    vendor: "",
    architecture: "",
    description: "",
    isSoftware: false,
    f16: true,
    timestamps: false,
    subgroupSize: 32,
    pinned: false,
    subgroupMatrix: [],
    matrixSyntax: undefined,
    features: [],
    limits: {
      maxBufferSize: most,
      maxStorageBufferBindingSize: most,
      maxComputeWorkgroupsPerDimension: 65535,
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupStorageSize: 16384,
      minStorageBufferOffsetAlignment: 256,
      minUniformBufferOffsetAlignment: 256,
    },
  };

  test.each([
    ["768x1024 f16", 128, 96, "f16", 300],
    ["384x512 f16", 64, 48, "f16", 80],
    ["384x512 f32", 64, 48, "f32", 160],
  ] as const)("%s needs at most 1.1 times what is alive at once", (_, h, w, dtype, mebibytes) => {
    const device = dryDevice(facts);
    const unet = loadPlaceholders(device, new UNet2DConditionModel({ in_channels: 8 }), dtype);
    const tokens = unet.transformerBlocks().map(({ norm1 }, i) => {
      const level = [0, 0, 1, 1, 2, 2, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0][i]!;
      return Tensor.empty(device, [2, (h * w) >> (2 * level), norm1.weight.shape[0]!], dtype);
    });
    const fusion = new Concat(tokens);
    fusion.prepare(unet.transformerBlocks());
    const text = unet.encodeText(Tensor.empty(device, [1, 2, 768], dtype));
    const time = unet.encodeTime([1]).at(0);
    const sample = Tensor.empty(device, [2, h, w, 8], dtype);
    const { bytes, bound, arenas } = device.record(() => unet.forward(sample, time, text, { fusion })).memory;
    expect(bytes / bound).toBeLessThanOrEqual(1.1);
    expect(bytes / bound).toBeGreaterThanOrEqual(1);
    expect(arenas.length).toBeLessThanOrEqual(6);
    expect(bytes / 2 ** 20).toBeLessThan(mebibytes);
  });
});
