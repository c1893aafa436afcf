import { describe, expect, test } from "vitest";
import { createScheduler, tryonScheduler } from "../../src/schedulers/create.ts";
import { SCHEDULER_NAMES } from "../../src/schedulers/names.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { InputError, ShapeError } from "../../src/util/errors.ts";
import { TorchGenerator } from "../../src/util/random.ts";
import { devices, normal, relErr } from "../helpers.ts";
import { STABLE_DIFFUSION, toyRun, toyStep } from "./toy.ts";

const NAMES = Object.keys(SCHEDULER_NAMES);
const ORDERED = ["unipc", "pndm", "dpmpp-2m", "dpmpp-2m-sde", "heun"];
const SHAPE = [1, 2, 3, 4];
const CONFIG = { ...STABLE_DIFFUSION, clip_sample: false };

const named = (name: string, more: Record<string, unknown> = {}) => tryonScheduler({ ...CONFIG, ...more }, name);

describe.each(await devices())("runs on $name", ({ gpu }) => {
  test.for(NAMES)("%s: two interleaved runs do not disturb each other", async (name) => {
    const noises = [normal(1, 24), normal(2, 24)];
    const apart = [];
    for (const noise of noises) {
      const scheduler = named(name);
      scheduler.setTimesteps(6);
      apart.push(await toyRun(gpu, scheduler, noise, SHAPE));
      scheduler.dispose();
    }
    const pair = noises.map(() => named(name));
    for (const scheduler of pair) scheduler.setTimesteps(6);
    const samples: Float32Array[] = noises.map((noise, k) => noise.map((v) => v * pair[k]!.initNoiseSigma));
    for (let i = 0; i < pair[0]!.timesteps.length; i++)
      for (const k of [0, 1]) samples[k] = (await toyStep(gpu, pair[k]!, i, samples[k]!, SHAPE)).sample;
    expect(samples).toEqual(apart);
    for (const scheduler of pair) scheduler.dispose();
  });

  test.for(NAMES)("%s: setTimesteps in the middle of a run starts afresh", async (name) => {
    const noise = normal(3, 24);
    const fresh = tryonScheduler(CONFIG, name, { seed: 5 });
    fresh.setTimesteps(4);
    const expected = await toyRun(gpu, fresh, noise, SHAPE);
    const generator = new TorchGenerator(99);
    const reused = tryonScheduler(CONFIG, name, { generator });
    reused.setTimesteps(7);
    for (const i of [0, 1, 2]) await toyStep(gpu, reused, i, noise, SHAPE);
    reused.setTimesteps(4);
    generator.manualSeed(5);
    expect(await toyRun(gpu, reused, noise, SHAPE)).toEqual(expected);
    for (const scheduler of [fresh, reused]) scheduler.dispose();
  });

  test.for(NAMES)("%s: one, two and three steps give finite samples", async (name) => {
    for (const steps of [1, 2, 3]) {
      const scheduler = named(name);
      scheduler.setTimesteps(steps);
      const sample = await toyRun(gpu, scheduler, normal(4, 24), SHAPE);
      expect(sample.every(Number.isFinite), `${steps} steps`).toBe(true);
      scheduler.dispose();
    }
  });

  test.for(NAMES)("%s: keeps nothing on the device after dispose", async (name) => {
    const before = gpu.memory.live;
    const scheduler = named(name);
    scheduler.setTimesteps(5);
    await toyRun(gpu, scheduler, normal(5, 24), SHAPE);
    for (const i of [0, 1]) {
      if (i === 0) scheduler.setTimesteps(3);
      await toyStep(gpu, scheduler, i, normal(6, 24), SHAPE);
    }
    scheduler.dispose();
    expect(gpu.memory.live).toBe(before);
  });

  test.for(ORDERED)("%s: refuses a step out of order", async (name) => {
    const scheduler = named(name);
    scheduler.setTimesteps(5);
    const step = (index: number) => toyStep(gpu, scheduler, index, normal(7, 24), SHAPE);
    await step(0);
    await expect(step(0)).rejects.toThrow("step 0 is out of order: step 1 is next");
    await expect(step(2)).rejects.toThrow(InputError);
    for (let i = 1; i < scheduler.timesteps.length; i++) await step(i);
    await expect(step(0)).rejects.toThrow("the run has ended");
    scheduler.dispose();
    await step(0);
    scheduler.dispose();
  });

  test("multistep solvers may start in the middle, as for a given picture", async () => {
    for (const name of ["unipc", "pndm", "dpmpp-2m", "heun"]) {
      const scheduler = named(name);
      scheduler.setTimesteps(6);
      let sample: Float32Array = normal(8, 24);
      for (let i = 4; i < scheduler.timesteps.length; i++)
        ({ sample } = await toyStep(gpu, scheduler, i, sample, SHAPE));
      expect(sample.every(Number.isFinite), name).toBe(true);
      scheduler.dispose();
    }
    const heun = named("heun");
    heun.setTimesteps(6);
    await expect(toyStep(gpu, heun, 3, normal(8, 24), SHAPE)).rejects.toThrow("even index");
  });

  test("draws its own noise from the given generator, in steps that need some", async () => {
    const noise = normal(9, 24);
    const own = tryonScheduler(CONFIG, "euler-ancestral", { generator: new TorchGenerator(11) });
    const given = tryonScheduler(CONFIG, "euler-ancestral", { seed: 12 });
    const generator = new TorchGenerator(11);
    for (const scheduler of [own, given]) scheduler.setTimesteps(3);
    let [a, b]: [Float32Array, Float32Array] = [noise, noise];
    for (const i of [0, 1, 2]) {
      a = (await toyStep(gpu, own, i, a, SHAPE)).sample;
      b = (await toyStep(gpu, given, i, b, SHAPE, i < 2 ? generator.randn(SHAPE) : undefined)).sample;
    }
    expect(a).toEqual(b);
  });

  test("names the shapes that do not fit", () => {
    const scheduler = named("lcm");
    scheduler.setTimesteps(2);
    const [x, small] = [Tensor.zeros(gpu, SHAPE), Tensor.zeros(gpu, [1, 2])];
    expect(() => scheduler.step(small, 0, x)).toThrow("model output [1, 2] for a sample [1, 2, 3, 4]");
    expect(() => scheduler.step(x, 0, x, { noise: small })).toThrow(ShapeError);
    expect(() => scheduler.addNoise(x, small, 999)).toThrow(ShapeError);
    expect(() => scheduler.step(x, 2, x)).toThrow("step 2 of a run with steps 0 to 1");
    expect(() => named("ddim").step(x, 0, x)).toThrow("setTimesteps comes before the first step");
    x.dispose();
    small.dispose();
  });

  test.for(["DDIMScheduler", "DDPMScheduler", "LCMScheduler", "HeunDiscreteScheduler"])(
    "%s: clip_sample clamps the predicted clean sample",
    async (_class_name) => {
      const config = { _class_name, ...STABLE_DIFFUSION, clip_sample_range: 0.5, prediction_type: "sample" };
      const step = async (clip_sample: boolean, clean: readonly number[]) => {
        const scheduler = createScheduler({ ...config, clip_sample });
        scheduler.setTimesteps(1);
        const [x, output] = [Tensor.from(gpu, [1, 2, 3, 4], [4]), Tensor.from(gpu, clean, [4])];
        const moved = scheduler.step(output, 0, x);
        const values = await moved.data();
        scheduler.dispose();
        for (const tensor of [x, output, moved]) tensor.dispose();
        return values;
      };
      const [bounded, expected] = [await step(true, [-3, -0.25, 0.25, 3]), await step(false, [-0.5, -0.25, 0.25, 0.5])];
      expect(relErr(bounded, expected)).toBeLessThan(1e-6);
    },
  );

  const otherwise = NAMES.filter((name) => name !== "pndm") // it averages outputs of several noise levels before it converts them
    .flatMap((name) =>
      (name === "euler-ancestral" ? ["v_prediction"] : ["v_prediction", "sample"]).map((type) => [name, type]),
    );
  test.for(otherwise as [string, string][])(
    "%s: a network that predicts %s gives the same sample",
    async ([name, type]) => {
      const noise = normal(10, 24);
      const schedulers = [named(name), named(name, { prediction_type: type })];
      const samples: Float32Array[] = schedulers.map((scheduler) => {
        scheduler.setTimesteps(5);
        return noise.map((v) => v * scheduler.initNoiseSigma);
      });
      for (let i = 0; i < schedulers[0]!.timesteps.length; i++)
        for (const k of [0, 1])
          samples[k] = (
            await toyStep(gpu, schedulers[k]!, i, samples[k]!, SHAPE, noise, k === 0 ? "epsilon" : type)
          ).sample;
      expect(relErr(samples[1]!, samples[0]!)).toBeLessThan(2e-5); // the conversions cancel digits at high noise
      for (const scheduler of schedulers) scheduler.dispose();
    },
  );
});
