import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { foldBatchNorms } from "../../src/checkpoint/fold.ts";
import { loadModule } from "../../src/checkpoint/load.ts";
import type { Device } from "../../src/gpu/device.ts";
import { lpipsDistance } from "../../src/evaluation/networks.ts";
import { InceptionV3 } from "../../src/models/inception/inception.ts";
import { Lpips } from "../../src/models/lpips/lpips.ts";
import { LPIPS_NETS } from "../../src/models/lpips/trunk.ts";
import { requestDevice } from "../../src/node/device.ts";
import { readImage } from "../../src/node/images.ts";
import { maxPool2d } from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { fixture, loadFixture, relErr } from "../helpers.ts";
import { formulaSource } from "./formula.ts";

const expected = JSON.parse(readFileSync(fixture("evaluation/expected.json"), "utf8")) as {
  lpips: Record<(typeof LPIPS_NETS)[number], number>;
};
const picture = (name: string) => readImage(fixture(`evaluation/${name}.png`));

let device: Device;
beforeAll(async () => void (device = await requestDevice({ guard: 256 })));
afterAll(() => device.destroy());

test.for(LPIPS_NETS)("LPIPS with %s is that of the package lpips", async (net) => {
  const model = new Lpips(net);
  await loadModule(device, model.trunk, formulaSource(model.trunk), { label: net, dtype: "f32" });
  await loadModule(device, model.weights, formulaSource(model.weights), { label: "lpips", dtype: "f32" });
  const { live } = device.memory;
  const [a, b] = [await picture("a0"), await picture("b0")];
  const distance = await lpipsDistance(device, model, a, b);
  expect(Math.abs(distance / expected.lpips[net] - 1)).toBeLessThan(1e-4); // sums of f32 in another order
  expect(await lpipsDistance(device, model, a, a)).toBe(0);
  await expect(lpipsDistance(device, model, a, await picture("a1"))).rejects.toThrow("pictures of 48x64 and 61x47");
  expect(device.memory.live).toBe(live);
  model.dispose();
});

test("Inception's features are those of torch-fidelity", async () => {
  const model = new InceptionV3();
  const source = foldBatchNorms(formulaSource(model, { norms: true }), 0.001);
  await loadModule(device, model, source, { label: "inception", dtype: "f32" });
  const images = [await picture("inception0"), await picture("inception1")];
  const values = images.flatMap(({ data }) => [...data].map((byte) => (byte - 128) / 128));
  const features = device.scope(() => model.forward(Tensor.from(device, values, [2, 80, 80, 3])));
  const { shape, data } = loadFixture("evaluation/expected.safetensors").get("inception")!;
  expect(features.shape).toEqual(shape);
  expect(relErr(await features.data(), data)).toBeLessThan(1e-4);
  expect(() => model.forward(Tensor.zeros(device, [1, 74, 80, 3]))).toThrow("[1, 74, 80, 3] is not [n, h, w, 3]");
  model.dispose();
});

describe("a maximum's windows may stand over the end", () => {
  test.for<[size: number, kernel: number, stride: number, padding: number]>([
    [7, 3, 2, 0],
    [8, 3, 2, 0],
    [9, 3, 2, 1],
    [5, 2, 3, 1],
    [6, 2, 3, 0],
    [3, 3, 2, 0],
  ])("%j", async ([size, kernel, stride, padding]) => {
    const x = Float32Array.from({ length: size * size }, (_, i) => ((i * 37) % 101) - 60);
    const y = device.scope(() =>
      maxPool2d(Tensor.from(device, x, [1, size, size, 1]), { kernelSize: kernel, stride, padding, ceilMode: true }),
    );
    // PyTorch: windows as long as they begin inside the picture or on the padding before it
    const begins: number[] = [];
    for (let at = -padding; at < size; at += stride) if (begins.push(at) && at + kernel >= size + padding) break;
    const window = (from: number) =>
      Array.from({ length: kernel }, (_, k) => from + k).filter((i) => i >= 0 && i < size);
    const oracle = begins.flatMap((top) =>
      begins.map((left) => Math.max(...window(top).flatMap((i) => window(left).map((j) => x[i * size + j]!)))),
    );
    expect(y.shape).toEqual([1, begins.length, begins.length, 1]);
    expect([...(await y.data())]).toEqual(oracle);
  });
});
