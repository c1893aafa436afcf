import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { checkpoints, freshDevice, inputsOf, load } from "./setup.ts";
import type { TryOnInputs } from "../../src/pipelines/inputs.ts";
import { checkTryOn } from "../../src/pipelines/settings.ts";
import { TryOnPipeline } from "../../src/pipelines/try-on.ts";
import { InputError } from "../../src/util/errors.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { assertFinite } from "../../src/pipelines/diagnose.ts";

describe("one pipeline, many runs", () => {
  let device: Device;
  let pipeline: TryOnPipeline;
  let inputs: Awaited<ReturnType<typeof inputsOf>>;
  let other: TryOnInputs;

  beforeAll(async () => {
    device = await freshDevice();
    pipeline = await load(device, "dc");
    inputs = { ...(await inputsOf("dc-upperbody")), steps: 2 };
    other = { ...inputs, garment: (await inputsOf("hd-upperbody")).garment };
  });
  afterAll(() => device.destroy());

  test("the same seed gives the same bytes, another seed others", async () => {
    const [a, b, c] = [await pipeline(inputs), await pipeline(inputs), await pipeline({ ...inputs, seed: 7 })];
    expect(b.images).toEqual(a.images);
    expect(c.images).not.toEqual(a.images);
  });

  test("a second garment, and the first again, are what a pipeline of their own gives", async () => {
    const shared = [await pipeline(inputs), await pipeline(other), await pipeline(inputs)];
    const alone = await load(device, "dc");
    const second = await alone(other);
    alone.dispose();
    expect(shared[1]!.images).toEqual(second.images);
    expect(shared[2]!.images).toEqual(shared[0]!.images);
    expect(shared[1]!.images).not.toEqual(shared[0]!.images);
  });

  test("the category, which only the prompt knows, is not confused either", async () => {
    const upper = await pipeline(inputs);
    const dress = await pipeline({ ...inputs, category: "dress" });
    expect(dress.images).not.toEqual(upper.images);
    expect((await pipeline(inputs)).images).toEqual(upper.images);
  });

  test("100 runs leave no buffer behind", async () => {
    const small = { ...inputs, width: 64, height: 64, steps: 1, guidanceScale: 0 };
    await pipeline(small);
    const { live } = device.memory;
    for (let i = 0; i < 100; i++) await pipeline({ ...small, seed: i });
    expect(device.memory.live).toBe(live);
  });

  test("samples of one run differ", async () => {
    const { images } = await pipeline({ ...inputs, samples: 2 });
    expect(images).toHaveLength(2);
    expect(images[1]).not.toEqual(images[0]);
  });

  test("without repaint the picture outside the mask is free", async () => {
    const kept = await pipeline(inputs);
    const free = await pipeline({ ...inputs, repaint: false });
    expect(free.images).not.toEqual(kept.images);
  });

  test("an aborted run rejects with AbortError and frees what it made", async () => {
    await pipeline(inputs);
    const { live } = device.memory;
    const controller = new AbortController();
    const run = pipeline({ ...inputs, steps: 5, signal: controller.signal, onStep: () => controller.abort() });
    await expect(run).rejects.toMatchObject({ name: "AbortError" });
    expect(device.memory.live).toBe(live);
    expect((await pipeline(inputs)).images).toHaveLength(1); // and the next one works
  });

  test("every scheduler denoises", async () => {
    for (const scheduler of [
      "unipc",
      "ddim",
      "pndm",
      "euler",
      "euler-ancestral",
      "dpmpp-2m",
      "dpmpp-2m-sde",
      "heun",
      "ddpm",
      "lcm",
    ]) {
      const { images } = await pipeline({ ...inputs, steps: 3, scheduler });
      expect(new Set(images[0]!.data).size, scheduler).toBeGreaterThan(10);
    }
  });

  test("a seed repeats a stochastic scheduler's noise", async () => {
    const run = () => pipeline({ ...inputs, steps: 3, scheduler: "euler-ancestral" });
    expect((await run()).images).toEqual((await run()).images);
  });

  test("a black mask, an unknown scheduler, noise of another shape: one line each", async () => {
    const black = { ...inputs.mask, data: new Uint8Array(inputs.mask.data.length) };
    await expect(pipeline({ ...inputs, mask: black })).rejects.toThrow(/^mask: it is all black/);
    await expect(pipeline({ ...inputs, scheduler: "magic" })).rejects.toThrow(/magic/);
    const noise = { shape: [1, 4, 8, 8], data: new Float32Array(256) };
    await expect(pipeline({ ...inputs, noise })).rejects.toThrow("noise is [1, 4, 8, 8], [1, 4, 24, 16] is needed");
    await expect(pipeline({ ...inputs, samples: 0 })).rejects.toThrow("0 samples");
  });

  test("two runs asked for at once take turns", async () => {
    const [a, b] = await Promise.all([pipeline(inputs), pipeline(other)]);
    expect((await pipeline(inputs)).images).toEqual(a!.images);
    expect(b!.images).not.toEqual(a!.images);
  });

  test("a run that waits for another rejects as soon as it is aborted, and the other ends well", async () => {
    const controller = new AbortController();
    const order: string[] = [];
    const first = pipeline(inputs).finally(() => order.push("first"));
    const second = pipeline({ ...inputs, signal: controller.signal }).finally(() => order.push("second"));
    controller.abort();
    await expect(second).rejects.toMatchObject({ name: "AbortError" });
    expect((await first).images).toHaveLength(1);
    expect(order).toEqual(["second", "first"]);
    await expect(pipeline({ ...inputs, signal: controller.signal })).rejects.toMatchObject({ name: "AbortError" });
  });

  test.for<[string, object, RegExp]>([
    ["no person", { person: undefined }, /^person: it is undefined; a picture of RGB/],
    ["a path for a picture", { garment: "shirt.png" }, /^garment: it is "shirt\.png"; a picture/],
    ["a mask of three channels", { mask: { width: 1, height: 1, data: new Uint8Array(3) } }, /^mask: 3 bytes for 1x1/],
    ["trace: true", { trace: true }, /^try-on: trace is true, a Trace, .* is needed$/],
    ["a signal that is none", { signal: {} }, /^try-on: signal is an object, an AbortSignal is needed$/],
    ["an unknown category", { category: "hat" }, /^try-on: category is "hat": there are upperbody/],
    ["an unknown scheduler", { scheduler: "magic" }, /^try-on: scheduler is "magic": there are unipc/],
    ["an unknown fit", { fit: "squash" }, /^try-on: fit is "squash": there are pad, crop, stretch$/],
    ["an unknown part", { protect: { nose: true } }, /^try-on: protect is "nose": there are face/],
    ["repaint as a string", { repaint: "no" }, /^try-on: repaint is "no", true or false is needed$/],
    ["half a step", { steps: 0.5 }, /^try-on: 0\.5 steps$/],
    ["a seed that is no number", { seed: NaN }, /^try-on: seed NaN is no integer/],
    ["a width that is no number", { width: "128" }, /^try-on: width 128 is not a multiple of 8/],
    ["noise without data", { noise: true }, /^try-on: noise is true, \{ shape, data \} is needed$/],
  ])("%s: one typed error", async ([, changes, says]) => {
    const failure: unknown = await pipeline({ ...inputs, ...changes } as TryOnInputs).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InputError);
    expect((failure as Error).message).toMatch(says);
    expect((failure as Error).message).not.toContain("\n");
  });

  test.for<[string, object, RegExp]>([
    ["no device", { device: undefined }, /^try-on: device is missing/],
    ["f64", { dtype: "f64" }, /^try-on: dtype is "f64": there are auto, f32, f16$/],
    ["an unknown model", { model: "xl" }, /^try-on: model is "xl": there are hd, dc$/],
  ])("loading with %s: one typed error", async ([, changes, says]) => {
    const options = { device, ...changes } as Parameters<typeof TryOnPipeline.fromPretrained>[1];
    const loading = TryOnPipeline.fromPretrained(checkpoints, options);
    await expect(loading).rejects.toBeInstanceOf(InputError);
    await expect(loading).rejects.toThrow(says);
  });

  test("a folder without a checkpoint is told the layout", async () => {
    await expect(TryOnPipeline.fromPretrained("test/pipelines", { device })).rejects.toThrow(
      /^test\/pipelines: no checkpoint: it should hold ootd\/\{vae,.*clip-vit-large-patch14$/,
    );
  });

  test("disposing stops the run that is going on and the one that waits, and frees everything", async () => {
    const runs = [pipeline({ ...inputs, steps: 100 }), pipeline(inputs)];
    const failures = Promise.all(runs.map((run) => run.catch((error: unknown) => error)));
    await Promise.all([pipeline.dispose(), pipeline.dispose()]);
    for (const failure of await failures)
      expect(failure).toEqual(new InputError("try-on", "the pipeline was disposed of"));
    await expect(pipeline(inputs)).rejects.toThrow("the pipeline was disposed of");
    expect(device.memory.live).toBe(0);
  });
});

test("what cannot be asked for is refused before anything is loaded", () => {
  expect(() => checkTryOn("hd", "dress", 128, 192)).toThrow("the hd model knows upperbody only, got dress");
  expect(() => checkTryOn("dc", "dress", 130, 192)).toThrow(
    "width 130 is not a multiple of 8 of at least 64; the nearest is 128",
  );
  expect(() => checkTryOn("dc", "hat" as never, 128, 192)).toThrow('category is "hat"');
});

test("a NaN is traced to the module that made it", async () => {
  const device = await freshDevice();
  const unet = new UNet2DConditionModel({
    in_channels: 4,
    block_out_channels: [8, 8],
    down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
    layers_per_block: 1,
    norm_num_groups: 4,
    attention_head_dim: 2,
    cross_attention_dim: 8,
  });
  for (const [name, parameter] of unet.parameters()) {
    const values = new Float32Array(parameter.shape.reduce((a, b) => a * b, 1)).fill(0.01);
    if (name === "mid_block.resnets.1.conv1.weight") values[3] = NaN;
    parameter.set(Tensor.from(device, values, parameter.shape));
  }
  const run = () =>
    device.scope(() => {
      const text = unet.encodeText(Tensor.zeros(device, [1, 2, 8]));
      return unet.forward(
        Tensor.from(device, new Float32Array(256).fill(0.5), [1, 8, 8, 4]),
        unet.encodeTime([3]).at(0),
        text,
      );
    });
  const output = run();
  await expect(assertFinite(output, "denoise, step 1", unet, run)).rejects.toThrow(
    /^denoise, step 1: \d+ of 256 values are NaN or infinite; the first module to produce one is mid_block\.resnets\.1\.conv1$/,
  );
  output.dispose();
  unet.dispose();
  expect(device.memory.live).toBe(0);
  device.destroy();
});
