import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createScheduler, tryonScheduler } from "../../src/schedulers/create.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { devices, fixture, loadFixture, relErr } from "../helpers.ts";
import { toyStep, type Case } from "./toy.ts";

const cases = Object.entries(JSON.parse(readFileSync(fixture("schedulers.json"), "utf8")) as Record<string, Case>);
const reference = loadFixture("schedulers.safetensors");
const TOLERANCE = 1e-5; // of the largest magnitude: the reference rounds its coefficients to float32

describe.each(await devices())("trajectories on $name", ({ gpu }) => {
  test("there are 36", () => expect(cases).toHaveLength(36));

  test.for(cases)("%s", async ([name, { scheduler: className, config, num_inference_steps, init_noise_sigma }]) => {
    const scheduler = createScheduler({ _class_name: className, ...config });
    scheduler.setTimesteps(num_inference_steps);
    const { shape, data: noise } = reference.get(`${name}.noise`)!;
    const timesteps = reference.get(`${name}.timesteps`)!.data;
    expect(scheduler.timesteps).toHaveLength(timesteps.length);
    timesteps.forEach((timestep, i) => expect(Math.abs(scheduler.timesteps[i]! - timestep)).toBeLessThan(1e-3));
    expect(scheduler.initNoiseSigma).toBeCloseTo(init_noise_sigma, 5);

    let sample: Float32Array = noise.map((v) => v * scheduler.initNoiseSigma);
    for (let i = 0; i < timesteps.length; i++) {
      const moved = await toyStep(gpu, scheduler, i, sample, shape, reference.get(`${name}.step_noise.${i}`)?.data);
      expect(relErr(moved.input, reference.get(`${name}.model_input.${i}`)!.data), `input ${i}`).toBeLessThan(
        TOLERANCE,
      );
      expect(relErr(moved.sample, reference.get(`${name}.sample.${i}`)!.data), `sample ${i}`).toBeLessThan(TOLERANCE);
      sample = moved.sample;
    }

    const width = shape.at(-1)!;
    const flipped = noise.map((_, i) => noise[i - (i % width) + width - 1 - (i % width)]!);
    const [original, added] = [Tensor.from(gpu, noise, shape), Tensor.from(gpu, flipped, shape)];
    const noisy = scheduler.addNoise(original, added, scheduler.timesteps[1]!);
    expect(relErr(await noisy.data(), reference.get(`${name}.add_noise_t1`)!.data)).toBeLessThan(TOLERANCE);
    for (const tensor of [original, added, noisy]) tensor.dispose();
    scheduler.dispose();
  });

  test.for([5, 20])(
    "the try-on's scheduler in %i steps is unipc-ootd, whatever class the checkpoint names",
    async (steps) => {
      const config = JSON.parse(
        readFileSync(fixture("checkpoints/ootd/scheduler/scheduler_config.json"), "utf8"),
      ) as object;
      const scheduler = tryonScheduler({ ...config });
      scheduler.setTimesteps(steps);
      const { shape, data } = reference.get(`unipc-ootd-${steps}.noise`)!;
      let sample = data;
      for (let i = 0; i < steps; i++) ({ sample } = await toyStep(gpu, scheduler, i, sample, shape));
      expect(relErr(sample, reference.get(`unipc-ootd-${steps}.sample.${steps - 1}`)!.data)).toBeLessThan(TOLERANCE);
      scheduler.dispose();
    },
  );
});
