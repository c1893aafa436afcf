import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { Parameter } from "../../src/nn/module.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { uploadWeight } from "../../src/tensor/upload.ts";
import { AdamW } from "../../src/training/adamw.ts";
import { EMAModel } from "../../src/training/ema.ts";
import { norms } from "../../src/training/parameters.ts";
import { devices, normal, relErr } from "../helpers.ts";

/** A parameter filled with numbers, as a checkpoint would fill it. */
function parameter(
  gpu: Device,
  values: Float32Array,
  shape: readonly number[],
  kind: "matrix" | "vector",
  dtype: "f32" | "f16" = "f32",
): Parameter {
  const made = new Parameter(shape, kind);
  made.set(uploadWeight(gpu, new Uint8Array(values.buffer), { source: "F32", shape, kind, dtype }));
  return made;
}

/** A gradient in the parameter's own layout. */
const gradientOf = (gpu: Device, values: Float32Array, shape: readonly number[], kind: "matrix" | "vector"): Tensor =>
  uploadWeight(gpu, new Uint8Array(values.buffer), { source: "F32", shape, kind, dtype: "f32" }).keep();

/** torch.optim.AdamW in float64. */
function oracle(start: Float32Array, gradients: readonly Float32Array[], lr: number, scale = 1) {
  const p = Float64Array.from(start);
  const m = new Float64Array(p.length);
  const v = new Float64Array(p.length);
  gradients.forEach((gradient, t) => {
    const [c1, c2] = [1 - 0.9 ** (t + 1), 1 - 0.999 ** (t + 1)];
    for (let i = 0; i < p.length; i++) {
      const g = gradient[i]! * scale;
      p[i]! *= 1 - lr * 0.01;
      m[i] = 0.9 * m[i]! + 0.1 * g;
      v[i] = 0.999 * v[i]! + 0.001 * g * g;
      p[i]! -= (lr * (m[i]! / c1)) / (Math.sqrt(v[i]! / c2) + 1e-8);
    }
  });
  return { p, m, v };
}

describe.each(await devices())("optimiser, $name", ({ gpu }) => {
  test.for([
    ["a convolution's weight with odd sizes", [5, 3, 3, 3], "matrix"],
    ["a bias", [37], "vector"],
    ["a larger matrix", [130, 66], "matrix"],
  ] as const)("AdamW on %s: five steps as in float64", async ([, shape, kind]) => {
    const size = shape.reduce<number>((a, b) => a * b, 1);
    const start = normal(1, size);
    const weight = parameter(gpu, start, shape, kind);
    const optimizer = new AdamW(gpu, new Map([["w", weight]]));
    const gradients = [1e-6, 1, 300, 1, 1e-3].map((scale, i) => normal(10 + i, size, { scale }));
    for (const values of gradients) {
      const gradient = gradientOf(gpu, values, shape, kind);
      optimizer.step(new Map([["w", gradient]]), { lr: 1e-3, gradientScale: 0.5 });
      gradient.dispose();
    }
    const expected = oracle(start, gradients, 1e-3, 0.5);
    expect(relErr(await weight.tensor.data(), expected.p)).toBeLessThan(1e-6);
    const { mean, square } = optimizer.slot("w");
    expect(relErr(await mean.data(), expected.m)).toBeLessThan(1e-6);
    expect(relErr(await square.data(), expected.v)).toBeLessThan(1e-6);
    expect(optimizer.slot("w").step).toBe(5);
    optimizer.dispose();
    weight.dispose();
    await gpu.checkGuards();
    expect(gpu.memory.live).toBe(0);
  });

  test("a parameter without a gradient does not move, and its count of steps neither", async () => {
    const values = normal(2, 64);
    const [moved, still] = [1, 2].map(() => parameter(gpu, values, [64], "vector")) as [Parameter, Parameter];
    const named = new Map([
      ["moved", moved],
      ["still", still],
    ]);
    const optimizer = new AdamW(gpu, named);
    const gradient = gradientOf(gpu, normal(3, 64), [64], "vector");
    optimizer.step(new Map([["moved", gradient]]), { lr: 0.1 });
    expect([...(await still.tensor.data())]).toEqual([...values]);
    expect(relErr(await moved.tensor.data(), values)).toBeGreaterThan(0.01);
    expect(optimizer.slots.has("still")).toBe(false);
    gradient.dispose();
    optimizer.dispose();
    for (const one of named.values()) one.dispose();
  });

  test("a misshapen or misnamed gradient is refused", () => {
    const weight = parameter(gpu, normal(2, 64), [8, 8], "matrix");
    const optimizer = new AdamW(gpu, new Map([["w", weight]]));
    const flat = gradientOf(gpu, normal(3, 64), [64], "vector");
    expect(() => optimizer.step(new Map([["w", flat]]), { lr: 1 })).toThrow("AdamW: the gradient of w is [64]");
    expect(() => optimizer.step(new Map([["x", flat]]), { lr: 1 })).toThrow("no parameter is called x");
    flat.dispose();
    weight.dispose();
  });

  test("float16 weights are copies of float32 masters, which keep small steps", async ({ skip }) => {
    if (!gpu.facts.f16) skip();
    const start = new Float32Array(64).fill(1);
    const weight = parameter(gpu, start, [8, 8], "matrix", "f16");
    const optimizer = new AdamW(gpu, new Map([["w", weight]]), { weightDecay: 0 });
    const gradient = gradientOf(gpu, new Float32Array(64).fill(1), [8, 8], "matrix");
    for (let i = 0; i < 8; i++) optimizer.step(new Map([["w", gradient]]), { lr: 1e-4 });
    // one step of 1e-4 is less than half of float16's spacing below 1; eight of them are not
    const copied = await weight.tensor.data();
    expect(copied[0]).toBeCloseTo(1 - 8e-4, 3);
    expect(copied[0]).toBeLessThan(1);
    expect((await optimizer.slot("w").master.data())[0]).toBeCloseTo(1 - 8e-4, 6);
    gradient.dispose();
    optimizer.dispose();
    weight.dispose();
    expect(gpu.memory.live).toBe(0);
  });

  test("norms of many tensors; one NaN or overflow makes its own infinite", async () => {
    const large = normal(5, 100_003);
    const bad = normal(6, 999);
    bad[500] = NaN;
    const tensors = [large, Float32Array.of(3, 4), bad, new Float32Array(7)].map((values) =>
      Tensor.from(gpu, values, [values.length]).keep(),
    );
    const found = await norms(gpu, tensors);
    const exact = Math.sqrt(large.reduce((sum, x) => sum + x * x, 0));
    expect(Math.abs(found[0]! - exact) / exact).toBeLessThan(1e-6);
    expect([...found.slice(1)]).toEqual([5, Infinity, 0]);
    for (const tensor of tensors) tensor.dispose();
  });

  test("a moving average follows diffusers' EMAModel", async () => {
    const weight = parameter(gpu, Float32Array.of(0, 0, 0, 0), [4], "vector");
    const ema = new EMAModel(gpu, new Map([["w", weight]]), { decay: 0.9999 });
    weight.set(Tensor.from(gpu, [1, 2, 3, 4], [4]));
    let expected = 0;
    for (let step = 1; step <= 4; step++) {
      ema.step(() => weight.tensor);
      const counted = step - 1; // decay 0 at the first step, then (1 + n) / (10 + n)
      const decay = counted <= 0 ? 0 : (1 + counted) / (10 + counted);
      expected += (1 - decay) * (1 - expected);
    }
    expect(
      relErr(
        await ema.shadow.get("w")!.data(),
        [1, 2, 3, 4].map((x) => x * expected),
      ),
    ).toBeLessThan(1e-6);
    expect(ema.decayAt(1e9)).toBe(0.9999);
    ema.dispose();
    weight.dispose();
  });
});
