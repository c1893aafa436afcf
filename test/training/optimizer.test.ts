import { describe, expect, test } from "vitest";
import { Tensor } from "../../src/tensor/tensor.ts";
import { AdamW } from "../../src/training/adamw.ts";
import { EMAModel } from "../../src/training/ema.ts";
import { norms } from "../../src/training/norms.ts";
import { devices, normal, relErr } from "../helpers.ts";

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
  const tensor = (values: ArrayLike<number>, shape: readonly number[]) =>
    Tensor.from(gpu, Float32Array.from(values), shape).keep();

  test.for([[[5, 3, 3, 3]], [[37]], [[130, 66]]])("AdamW on %j: five steps as in float64", async ([shape]) => {
    const size = shape!.reduce((a, b) => a * b, 1);
    const start = normal(1, size);
    const weight = tensor(start, shape!);
    const optimizer = new AdamW(gpu, new Map([["w", weight]]));
    const gradients = [1e-6, 1, 300, 1, 1e-3].map((scale, i) => normal(10 + i, size, { scale }));
    for (const values of gradients) {
      const gradient = tensor(values, shape!);
      optimizer.step(new Map([["w", gradient]]), { lr: 1e-3, gradientScale: 0.5 });
      gradient.dispose();
    }
    const expected = oracle(start, gradients, 1e-3, 0.5);
    expect(relErr(await weight.data(), expected.p)).toBeLessThan(1e-6);
    const { mean, square, step } = optimizer.slots.get("w")!;
    expect(relErr(await mean.data(), expected.m)).toBeLessThan(1e-6);
    expect(relErr(await square.data(), expected.v)).toBeLessThan(1e-6);
    expect(step).toBe(5);
    optimizer.dispose();
    weight.dispose();
    await gpu.checkGuards();
    expect(gpu.memory.live).toBe(0);
  });

  test("a parameter without a gradient does not move, and its count of steps neither", async () => {
    const values = normal(2, 64);
    const [moved, still] = [tensor(values, [64]), tensor(values, [64])];
    const named = new Map(Object.entries({ moved, still }));
    const optimizer = new AdamW(gpu, named);
    const gradient = tensor(normal(3, 64), [64]);
    optimizer.step(new Map([["moved", gradient]]), { lr: 0.1 });
    expect([...(await still.data())]).toEqual([...values]);
    expect(relErr(await moved.data(), values)).toBeGreaterThan(0.01);
    expect(optimizer.slots.has("still")).toBe(false);
    for (const one of [optimizer, gradient, moved, still]) one.dispose();
  });

  test("a misshapen or misnamed gradient is refused", () => {
    const weight = tensor(normal(2, 64), [8, 8]);
    const optimizer = new AdamW(gpu, new Map([["w", weight]]));
    const flat = tensor(normal(3, 64), [64]);
    expect(() => optimizer.step(new Map([["w", flat]]), { lr: 1 })).toThrow("AdamW: the gradient of w is [64]");
    expect(() => optimizer.step(new Map([["x", flat]]), { lr: 1 })).toThrow("no parameter is called x");
    for (const one of [flat, weight]) one.dispose();
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
    const parameters = new Map([["w", tensor([0, 0, 0, 0], [4])]]);
    const ema = new EMAModel(gpu, parameters, { decay: 0.9999 });
    parameters.get("w")!.dispose();
    parameters.set("w", tensor([1, 2, 3, 4], [4]));
    let expected = 0;
    for (let step = 1; step <= 4; step++) {
      ema.step();
      const counted = step - 1; // decay 0 at the first step, then (1 + n) / (10 + n)
      const decay = counted <= 0 ? 0 : (1 + counted) / (10 + counted);
      expected += (1 - decay) * (1 - expected);
    }
    const average = await ema.shadow.get("w")!.data();
    expect(
      relErr(
        average,
        [1, 2, 3, 4].map((x) => x * expected),
      ),
    ).toBeLessThan(1e-6);
    expect(ema.decayAt(1e9)).toBe(0.9999);
    for (const one of [ema, parameters.get("w")!]) one.dispose();
  });
});
