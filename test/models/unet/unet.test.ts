import { describe, expect, test } from "vitest";
import { UNet2DConditionModel } from "../../../src/models/unet/unet.ts";
import { concat, nonFinite, slice } from "../../../src/tensor/ops.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import type { Module } from "../../../src/nn/module.ts";
import { devices, normal, relErr } from "../../helpers.ts";
import { configOf, loadTiny } from "../checkpoints.ts";

const folder = "ootd/ootd_hd/checkpoint-36000/unet_garm";
const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const random = (gpu: Tensor["device"], seed: number, ...shape: number[]) =>
  Tensor.from(gpu, normal(seed, size(shape)), shape);

/** Small random weights: what matters is that two models get the same ones. */
function fill(gpu: Tensor["device"], module: Module): void {
  for (const [i, [, parameter]] of [...module.parameters()].entries()) {
    const isVector = parameter.kind === "vector";
    parameter.set(Tensor.from(gpu, normal(i, size(parameter.shape), { scale: isVector ? 0.5 : 0.2 }), parameter.shape));
  }
}

describe.each(await devices())("UNet2DConditionModel on $name", ({ gpu }) => {
  const forward = async (
    unet: UNet2DConditionModel,
    sample: Tensor,
    timesteps = [500],
    hidden = random(gpu, 9, 1, 3, 32),
  ) => {
    const output = gpu.scope(() =>
      unet.forward(
        sample,
        unet.encodeTime(timesteps)[timesteps.length > 1 ? "perSample" : "at"](0),
        unet.encodeText(hidden),
      ),
    );
    return output.data();
  };

  test("widened with zeros, it gives exactly the narrow network's output", async () => {
    const narrow = await loadTiny(gpu, folder, (config) => new UNet2DConditionModel(config));
    const sample = random(gpu, 1, 2, 24, 16, 4);
    const expected = await forward(narrow, sample);
    for (const channels of [8, 9]) {
      const build = (config: Record<string, unknown>) => new UNet2DConditionModel({ ...config, in_channels: channels });
      const wide = await loadTiny(gpu, folder, build, { widen: ["conv_in.weight"] });
      const more = concat([sample, random(gpu, 2, 2, 24, 16, channels - 4)], -1);
      expect(await forward(wide, more), `${channels} channels`).toEqual(expected);
      wide.dispose();
    }
    narrow.dispose();
  });

  test("each image of a batch may have its own timestep", async () => {
    const unet = await loadTiny(gpu, folder, (config) => new UNet2DConditionModel(config));
    const sample = random(gpu, 3, 2, 16, 8, 4);
    const both = await forward(unet, sample, [900, 20]);
    const alone = await Promise.all(
      [900, 20].map((t, i) =>
        forward(
          unet,
          gpu.scope(() => slice(sample, 0, i, i + 1)),
          [t],
        ),
      ),
    );
    expect(relErr(both, [...alone[0]!, ...alone[1]!])).toBeLessThan(2e-6);
    unet.dispose();
  });

  test("sizes that do not halve evenly come back as they went in", async () => {
    const unet = await loadTiny(gpu, folder, (config) => new UNet2DConditionModel(config));
    const sample = random(gpu, 4, 1, 13, 9, 4);
    const output = gpu.scope(() =>
      unet.forward(sample, unet.encodeTime([7]).at(0), unet.encodeText(random(gpu, 5, 1, 2, 32))),
    );
    expect(output.shape).toEqual([1, 13, 9, 4]);
    await expect(nonFinite(output)).resolves.toBe(0);
    unet.dispose();
  });

  test("linear projections give what 1x1 convolutions with the same weights give", async () => {
    const config = configOf("ootd/ootd_dc/checkpoint-36000/unet_garm");
    const [conv, linear] = [false, true].map(
      (flag) => new UNet2DConditionModel({ ...config, use_linear_projection: flag }),
    );
    fill(gpu, conv!);
    fill(gpu, linear!);
    const sample = random(gpu, 6, 1, 8, 8, 4);
    expect(relErr(await forward(linear!, sample), await forward(conv!, sample))).toBeLessThan(1e-5);
    conv!.dispose();
    linear!.dispose();
  });

  test("several transformer blocks at one place run in order, and the features hold them all", () => {
    const config = { ...configOf("ootd/ootd_dc/checkpoint-36000/unet_garm"), transformer_layers_per_block: 2 };
    const unet = new UNet2DConditionModel(config);
    expect(unet.transformerBlocks().map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    fill(gpu, unet);
    const features = gpu.scope(() =>
      unet.features(random(gpu, 7, 1, 8, 8, 4), unet.encodeTime([0]).at(0), unet.encodeText(random(gpu, 8, 1, 2, 32))),
    );
    expect(features.map(({ shape }) => shape[1])).toEqual([64, 64, 16, 16, 64, 64, 64, 64]);
    for (const tokens of features) tokens.dispose();
    unet.dispose();
  });

  test("features made in a scope belong to it", async () => {
    const unet = await loadTiny(gpu, folder, (config) => new UNet2DConditionModel(config));
    const { live } = gpu.memory;
    gpu.scope(() => {
      const [time, text] = [unet.encodeTime([0]), unet.encodeText(random(gpu, 8, 1, 2, 32))];
      unet.features(random(gpu, 7, 1, 8, 8, 4), time.at(0), text);
    });
    expect(gpu.memory.live).toBe(live);
    unet.dispose();
  });

  test("says what does not fit", async () => {
    const [unet, other] = [new UNet2DConditionModel(configOf(folder)), new UNet2DConditionModel(configOf(folder))];
    fill(gpu, unet);
    fill(gpu, other);
    const [time, text] = [unet.encodeTime([5, 3]), unet.encodeText(random(gpu, 1, 1, 2, 32))];
    const sample = random(gpu, 7, 1, 8, 8, 4);
    expect(() => time.at(2)).toThrow("TimeShifts: step 2 of 2");
    expect(() => unet.encodeText(random(gpu, 1, 1, 2, 16))).toThrow("hidden is [1, 2, 16], [n, t, 32] is needed");
    expect(() => unet.forward(random(gpu, 1, 1, 8, 8, 8), time.at(0), text)).toThrow(
      "sample is [1, 8, 8, 8], [n, h, w, 4] is needed",
    );
    expect(() => other.forward(sample, time.at(0), other.encodeText(random(gpu, 1, 1, 2, 32)))).toThrow(
      "TimeShifts: made by another UNet",
    );
    expect(() => other.forward(sample, other.encodeTime([5]).at(0), text)).toThrow(
      "TextKeyValues: made by another UNet",
    );
    unet.dispose();
    other.dispose();
  });
});
