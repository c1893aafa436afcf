import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fitColours, showLatents } from "../../src/pipelines/preview.ts";
import { Trace, type TracedTensor } from "../../src/pipelines/trace.ts";
import { shipped } from "../../src/node/package.ts";
import { TryOnPipeline } from "../../src/pipelines/try-on.ts";
import { drawnDataset } from "../../src/training/data/drawn.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { resize } from "../../src/vision/resize.ts";
import { freshDevice, inputsOf, load } from "./setup.ts";

const most = (a: Uint8Array, b: Uint8Array) => a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i]!)), 0);

test("a linear map from latents to colours is found again", () => {
  const [width, height, channels, scale] = [24, 16, 5, 4];
  const latents = Float32Array.from({ length: 6 * 4 * channels }, (_, i) => Math.sin(i * i + 3 * i));
  const weights = [0.05, -0.04, 0.03, 0.02, 0.06, -0.05, 0.03, 0.01, 0.04, -0.02, 0.05, 0.01, 0.06, 0.02, -0.04];
  const colour = (x: number, y: number, c: number) => {
    const at = (Math.floor(y / scale) * 6 + Math.floor(x / scale)) * channels;
    let sum = 0.5;
    for (let k = 0; k < channels; k++) sum += weights[3 * k + c]! * latents[at + k]!;
    return Math.round(255 * sum);
  };
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) =>
    colour(Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3),
  );
  const map = fitColours(latents, channels, { width, height, data }, scale);
  const shown = showLatents(latents, map, 6, 4);
  const whole = Uint8Array.from({ length: 6 * 4 * 3 }, (_, i) =>
    colour((Math.floor(i / 3) % 6) * scale, Math.floor(i / 18) * scale, i % 3),
  );
  expect(most(shown.data, whole)).toBeLessThanOrEqual(1); // rounding to bytes, and the ridge
});

test("channels that say nothing leave the mean colour", () => {
  const data = Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => [40, 90, 160][i % 3]!);
  const shown = showLatents(
    new Float32Array(16),
    fitColours(new Float32Array(16), 4, { width: 8, height: 8, data }, 4),
    2,
    2,
  );
  expect([...shown.data.slice(0, 3)]).toEqual([40, 90, 160]);
});

describe("a run's previews", () => {
  let device: Device;
  let pipeline: TryOnPipeline;
  beforeAll(async () => {
    device = await freshDevice();
    pipeline = await load(device, "hd");
  });
  afterAll(() => device.destroy());

  /** NCHW of one sample as [h, w, c]. */
  function rows({ shape: [, c = 0, h = 0, w = 0], data }: TracedTensor): Float32Array {
    return Float32Array.from({ length: c * h * w }, (_, i) => data[(i % c) * h * w + Math.floor(i / c)]!);
  }

  test("show the clean latents that each step stands for, and change nothing", async () => {
    const [inputs, trace, previews] = [
      { ...(await inputsOf("hd-upperbody")), steps: 3 },
      new Trace(),
      [] as RgbImage[],
    ];
    const plain = await pipeline({ ...inputs, guidanceScale: 2, trace: new Trace() });
    const { live } = device.memory;
    const onPreview = (image: RgbImage) => previews.push(image);
    const { images } = await pipeline({ ...inputs, guidanceScale: 2, trace, onPreview });
    expect(images).toEqual(plain.images);
    expect(device.memory.live).toBe(live);

    expect(previews).toHaveLength(3);
    const latents = (name: string) => rows(trace.tensors.get(name)!);
    const original = latents("image_ori_latents").map((value) => value * 0.18215);
    const map = fitColours(original, 4, inputs.person, 8);
    const betas = Array.from(
      { length: 1000 },
      (_, i) => (0.00085 ** 0.5 + (i / 999) * (0.012 ** 0.5 - 0.00085 ** 0.5)) ** 2,
    );
    for (const [i, timestep] of [...trace.tensors.get("timesteps")!.data].entries()) {
      const alpha = betas.slice(0, timestep + 1).reduce((product, beta) => product * (1 - beta), 1);
      const { shape, data } = trace.tensors.get(`noise_pred.${i}`)!;
      const half = data.length / 2;
      const guided = { shape, data: data.slice(half).map((without, j) => without + 2 * (data[j]! - without)) };
      const noise = rows(guided);
      const before = i === 0 ? latents("noise") : latents(`latents.${i - 1}`);
      const clean = before.map((x, j) => (x - Math.sqrt(1 - alpha) * noise[j]!) / Math.sqrt(alpha));
      const expected = showLatents(clean, map, 16, 24);
      expect(most(previews[i]!.data, expected.data)).toBeLessThanOrEqual(2);
    }
  });

  test("of a network that tells the velocity come near the result from the first step on", async () => {
    const own = await freshDevice();
    const toy = await TryOnPipeline.fromPretrained(shipped("weights"), { device: own, dtype: "f32" });
    const { person, garment, mask } = await drawnDataset({ seed: 3, width: 72, height: 96, framing: "half" }).get(0);
    const previews: RgbImage[] = [];
    const onPreview = (image: RgbImage) => previews.push(image);
    const inputs = { person, garment, mask, width: 72, height: 96, steps: 2, guidanceScale: 1, seed: 1, onPreview };
    const { images } = await toy(inputs);
    for (const preview of previews) {
      const small = resize(images[0]!, preview.width, preview.height, "bilinear");
      const error = preview.data.reduce((sum, value, i) => sum + Math.abs(value - small.data[i]!), 0);
      expect(error / preview.data.length).toBeLessThan(20); // 70 and more where it was taken for the noise
    }
    own.destroy();
  });
});
