import { describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { elementwise, weightedSum } from "../reference/arrays.ts";
import { activations, geglu, groupNorm, interpolate, layerNorm, pool } from "../reference/elementwise.ts";
import { attention, conv2d, softmax } from "../reference/products.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, settings, variantSettings, worst } from "./harness.ts";

// Numbers near the end of float16's range (65,504): whatever is summed, squared or multiplied on the way goes beyond
// it, so only results that fit prove that the arithmetic is float32. The same numbers go through float32 storage.

/** Magnitudes from 3e4 to 6e4 with random signs. */
const huge = (elem: "f32" | "f16", seed: number, count: number): Float32Array =>
  numbers(elem, seed, count).map((v) => (v < 0 ? -1 : 1) * 32 * Math.round(940 + 935 * Math.min(Math.abs(v) / 3, 1)));

describe.each(await settings())("$name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);
  const f32 = (values: Float32Array) => Tensor.from(gpu, values, [values.length]);
  const near = (actual: Float32Array, exact: Float64Array, limit = 2e-6) => {
    expect(magnitude(exact)).toBeLessThan(65_504);
    expect(worst(actual, exact)).toBeLessThan((elem === "f32" ? limit : HALF_LIMIT) * magnitude(exact));
  };

  test("norms: squares reach 3.6e9", async () => {
    const x = huge(elem, 1, 2 * 15 * 36);
    const [weight, bias] = [numbers("f32", 2, 36, { mean: 1 }), numbers("f32", 3, 36)];
    const params = { weight, bias, eps: 1e-5 };
    const vectors = () => ({ weight: f32(weight), bias: f32(bias) });
    near(
      await run(gpu, () => ops.groupNorm(tensor(x, [2, 3, 5, 36]), 4, vectors())),
      groupNorm(x, [2, 15, 36], 4, params),
    );
    near(await run(gpu, () => ops.layerNorm(tensor(x, [30, 36]), vectors())), layerNorm(x, 36, params));
  });

  test("softmax of logits of ±6e4", async () => {
    const x = huge(elem, 1, 5 * 33);
    near(await run(gpu, () => ops.softmax(tensor(x, [5, 33]))), softmax(x, 33));
  });

  test("weightedSum: terms that cancel", async () => {
    const [a, b] = [huge(elem, 1, 77), numbers(elem, 2, 77)];
    const sum = (c: number) =>
      weightedSum([
        [c, a],
        [-c, a],
        [1, b],
      ]);
    for (const c of [1, 3])
      near(
        await run(gpu, () =>
          ops.weightedSum([
            [c, tensor(a, [77])],
            [-c, tensor(a, [77])],
            [1, tensor(b, [77])],
          ]),
        ),
        sum(c),
      );
  });

  test("arithmetic whose result fits", async () => {
    const [a, b] = [huge(elem, 1, 60), numbers(elem, 2, 12, { scale: 0.2 })];
    const shapes = [
      [a, [5, 12]],
      [b, [12]],
    ] as const;
    const small = b.map((v) => Math.max(-1, Math.min(1, v)));
    near(
      await run(gpu, () => ops.mul(tensor(a, [5, 12]), tensor(small, [12]))),
      elementwise((x, y) => x * y, shapes[0], [small, [12]]),
    );
    near(
      await run(gpu, () => ops.add(tensor(a, [5, 12]), tensor(b, [12]))),
      elementwise((x, y) => x + y, ...shapes),
    );
    near(
      await run(gpu, () => ops.div(tensor(a, [5, 12]), 3)),
      Float64Array.from(a, (v) => v / 3),
    );
  });

  test("resizing and pooling: sums of neighbours", async () => {
    const shape = { n: 1, input: [7, 9], output: [4, 5], c: 5 } as const;
    const x = huge(elem, 1, 315).map(Math.abs); // of one sign, so that sums do not cancel
    const image = () => tensor(x, [1, 7, 9, 5]);
    near(
      await run(gpu, () => ops.interpolate(image(), { size: [4, 5], mode: "bilinear" })),
      interpolate(x, shape, "bilinear"),
      1e-5, // places are float32 too
    );
    const [window, options] = [
      { kernel: 3, stride: 2, pad: 1 },
      { kernelSize: 3, stride: 2, padding: 1 },
    ];
    near(await run(gpu, () => ops.avgPool2d(image(), options)), pool(x, shape, "average", window));
    near(await run(gpu, () => ops.maxPool2d(image(), options)), pool(x, shape, "max", window));
    const below = x.map((v) => -v); // a maximum that starts from zero would show
    near(await run(gpu, () => ops.maxPool2d(tensor(below, [1, 7, 9, 5]), options)), pool(below, shape, "max", window));
    if (elem === "f16") return;
    const far = below.map((v) => v * 1e30);
    const y = await run(gpu, () => ops.maxPool2d(tensor(far, [1, 7, 9, 5]), options));
    expect(worst(y, pool(far, shape, "max", window))).toBe(0);
  });

  test("activations and GEGLU", async () => {
    const x = huge(elem, 1, 5 * 24);
    for (const [op, exact] of [
      [ops.relu, activations.relu],
      [ops.silu, activations.silu],
      [ops.gelu, activations.gelu],
      [ops.geluTanh, activations.geluTanh],
      [ops.quickGelu, activations.quickGelu],
      [ops.tanh, activations.tanh],
      [ops.sigmoid, activations.sigmoid],
    ] as const)
      near(await run(gpu, () => op(tensor(x, [120]))), Float64Array.from(x, exact));
    const gated = x.map((v, i) => (i % 24 < 12 ? v : numbers(elem, 3, 120, { scale: 0.3 })[i]!));
    near(await run(gpu, () => ops.geglu(tensor(gated, [5, 24]))), geglu(gated, 12));
  });
});

describe.each(await variantSettings("gemm", ["subgroup", "tiled", "plain"]))("$name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);

  const shape = { n: 1, h: 5, w: 7, inputs: 12, outputs: 9, kernel: [3, 3], pad: [1, 1, 1, 1] } as const;
  const image = (values: Float32Array) => tensor(values, [1, 5, 7, 12]);
  const filter = (values: Float32Array) => tensor(values, [9, 12, 3, 3]);

  test("a convolution whose terms of 2e5 cancel", async () => {
    // neighbouring inputs are equal and their weights opposite
    const x = huge(elem, 1, 420).map((_, i, all) => all[i - (i % 2)]!);
    const weight = numbers(elem, 2, 9 * 12 * 9).map((_, i, all) =>
      Math.floor(i / 9) % 2 === 0 ? all[i]! : -all[i - 9]!,
    );
    const residual = numbers(elem, 3, 5 * 7 * 9);
    const exact = conv2d(x, weight, shape, { residual });
    expect(worst(exact, residual)).toBeLessThan(1e-9);
    const y = await run(gpu, () =>
      ops.conv2d(image(x), filter(weight), { padding: 1, residual: tensor(residual, [1, 5, 7, 9]) }),
    );
    // 108 roundings of at most 2^-24 of 2e5, which add up like a random walk
    expect(worst(y, exact)).toBeLessThan(2e5 * 2 ** -24 * Math.sqrt(108) + HALF_LIMIT * magnitude(exact));
  });

  test("a convolution whose sums of -1e5 only the activation brings back", async () => {
    const x = huge(elem, 1, 420).map((v) => -Math.abs(v));
    const weight = new Float32Array(9 * 12 * 9).fill(0.0625);
    expect(magnitude(conv2d(x, weight, shape))).toBeGreaterThan(65_504);
    const y = await run(gpu, () => ops.conv2d(image(x), filter(weight), { padding: 1, activation: "silu" }));
    expect(worst(y, conv2d(x, weight, shape, { activation: "silu" }))).toBeLessThan(1e-30);
  });
});

describe.each(await variantSettings("attention", ["subgroup", "plain"]))("attention, $name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);

  test("products of queries and keys beyond float16, values near its end", async () => {
    const shape = { n: 1, queries: 7, keys: 37, heads: 2, headDim: 40 };
    const q = numbers(elem, 1, 7 * 80, { mean: 200, scale: 20 }); // q · k before its scale is 1.6e6
    const k = numbers(elem, 2, 37 * 80, { mean: 200, scale: 0.1 });
    const v = huge(elem, 3, 37 * 80);
    const exact = attention(q, k, v, { ...shape, scale: 2 ** -9 });
    const y = await run(gpu, () =>
      ops.scaledDotProductAttention(tensor(q, [1, 7, 80]), tensor(k, [1, 37, 80]), tensor(v, [1, 37, 80]), {
        heads: 2,
        scale: 2 ** -9,
      }),
    );
    // scores of 3,000 are known to 2^-13 in float32
    expect(magnitude(exact)).toBeLessThan(65_504);
    expect(worst(y, exact)).toBeLessThan(2e-3 * magnitude(exact));
  });
});
