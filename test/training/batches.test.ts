import { afterAll, describe, expect, test } from "vitest";
import { requestDevice } from "../../src/node/device.ts";
import { drawBatch, makeBatch, type EncodedPair } from "../../src/training/batches.ts";
import { biasedTimesteps, noiseLevels, snrWeight } from "../../src/training/noise_levels.ts";
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

describe("biased timesteps", () => {
  const bias = { strategy: "later", multiplier: 4, portion: 0.25, begin: 3, end: 5 } as const;
  const even = Array.from({ length: 4000 }, (_, i) => (i + 0.5) / 4000);
  const shares = (timesteps: readonly number[], count: number) => {
    const found = new Array<number>(count).fill(0);
    for (const t of timesteps) found[t]! += 1 / timesteps.length;
    return found;
  };

  test.for([
    ["none", [1, 1, 1, 1, 1, 1, 1, 1]],
    ["earlier", [4, 4, 1, 1, 1, 1, 1, 1]],
    ["later", [1, 1, 1, 1, 1, 1, 4, 4]],
    ["range", [1, 1, 1, 4, 4, 1, 1, 1]],
  ] as const)("%s: as often as diffusers' weights say", ([strategy, weights]) => {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const found = shares(biasedTimesteps(even, 8, { ...bias, strategy }), 8);
    for (const [t, share] of found.entries()) expect(share).toBeCloseTo(weights[t]! / total, 3);
  });

  test("a multiplier below one draws them less often", () => {
    const found = shares(biasedTimesteps(even, 4, { ...bias, strategy: "earlier", multiplier: 0.5 }), 4);
    expect(found[0]).toBeCloseTo(0.5 / 3.5, 3);
  });

  test("the ends of the chances stay inside", () =>
    expect(biasedTimesteps([0, 1 - 2 ** -24, 1 - 2 ** -53], 1000, bias)).toEqual([0, 999, 999]));

  test("a range that holds nothing is refused", () =>
    expect(() => biasedTimesteps([0], 4, { ...bias, strategy: "range", begin: 4, end: 9 })).toThrow(
      "train: the timestep bias from 4 to 4 holds none of 4",
    ));

  test("a batch follows it", () => {
    const levels = noiseLevels({ ...SCHEDULE, prediction_type: "epsilon" });
    const plain = drawBatch(5, 0, 32, SHAPE, { levels });
    const biased = drawBatch(5, 0, 32, SHAPE, { levels, timestepBias: { ...bias, multiplier: 1e6 } });
    expect(biased.timesteps.every((t) => t >= 750)).toBe(true);
    expect(plain.timesteps.every((t) => t >= 750)).toBe(false);
  });
});
