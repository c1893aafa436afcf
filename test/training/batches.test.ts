import { afterAll, describe, expect, test } from "vitest";
import { requestDevice } from "../../src/node/device.ts";
import { drawBatch, makeBatch, type EncodedPair } from "../../src/training/batches.ts";
import { noiseLevels, snrWeight } from "../../src/training/noise_levels.ts";
import { normal } from "../helpers.ts";

const gpu = await requestDevice();
afterAll(() => gpu.destroy());

const SCHEDULE = { num_train_timesteps: 1000, beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" };
const SHAPE = [3, 2, 4];
const SIZE = 24;

const pair = (seed: number): EncodedPair => ({
  shape: SHAPE,
  ...{ target: normal(seed, SIZE), masked: normal(seed + 1, SIZE), garment: normal(seed + 2, SIZE) },
  region: new Float32Array(6).fill(1),
  ...{ promptEmbeds: normal(seed + 3, 16), promptShape: [2, 8] },
});
const pairs = [pair(1), pair(11), pair(21)];

/** √Πα and √(1 − Πα), in float64. */
function levelsAt(timestep: number): readonly [number, number] {
  const [first, last] = [Math.sqrt(SCHEDULE.beta_start), Math.sqrt(SCHEDULE.beta_end)];
  let product = 1;
  for (let t = 0; t <= timestep; t++) product *= 1 - (first + ((last - first) * t) / 999) ** 2;
  return [Math.sqrt(product), Math.sqrt(1 - product)];
}

describe.for(["epsilon", "v_prediction"] as const)("a batch whose networks tell %s", (prediction) => {
  const levels = noiseLevels({ ...SCHEDULE, prediction_type: prediction });

  test("holds noisy latents and what is to be told of them, as float64 has it", async () => {
    const draw = { ...drawBatch(5, 0, 3, SHAPE, { levels }), timesteps: [0, 500, 999] };
    const { noisy, target } = gpu.scope(() => {
      const batch = makeBatch(gpu, pairs, draw, { levels });
      return { noisy: batch.noisy, target: batch.target };
    });
    const [found, told] = [await noisy.data(), await target.data()];
    let worst = 0;
    for (let i = 0; i < 3 * SIZE; i++) {
      const n = Math.floor(i / SIZE);
      const [signal, level] = levelsAt(draw.timesteps[n]!);
      const [clean, noise] = [pairs[n]!.target[i % SIZE]!, draw.noise[i]!];
      const wanted = prediction === "epsilon" ? noise : signal * noise - level * clean;
      worst = Math.max(worst, Math.abs(told[i]! - wanted), Math.abs(found[i]! - (signal * clean + level * noise)));
    }
    expect(worst).toBeLessThan(2e-5); // Πα is a product of a thousand float32 numbers, as in diffusers
    noisy.dispose();
    target.dispose();
  });

  test("weighs every timestep alike in terms of the clean picture, up to γ", () => {
    // |Δε|² = snr |Δx|² and |Δv|² = (snr + 1) |Δx|²: min-SNR is min(snr, γ) of the clean picture's error
    for (const snr of [0.005, 0.9, 5, 700])
      expect(snrWeight(snr, 5, prediction) * (prediction === "epsilon" ? snr : snr + 1)).toBeCloseTo(
        Math.min(snr, 5),
        6,
      );
  });
});

test("what a network cannot be trained to tell is refused", () =>
  expect(() => noiseLevels({ ...SCHEDULE, prediction_type: "sample" })).toThrow(/prediction_type is "sample"/));
