import { describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { groupNorm, layerNorm } from "../reference/elementwise.ts";
import { softmax } from "../reference/products.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, worst, variantSettings } from "./harness.ts";

const GROUPS = [
  { n: 2, pixels: [7, 5], channels: 64, groups: 32 }, // two channels a group: no vector
  { n: 1, pixels: [3, 3], channels: 96, groups: 32 },
  { n: 1, pixels: [1, 1], channels: 20, groups: 4 }, // five
  { n: 3, pixels: [17, 13], channels: 12, groups: 3 },
  { n: 1, pixels: [33, 31], channels: 320, groups: 32 },
  { n: 2, pixels: [4, 4], channels: 8, groups: 1 },
] as const;

describe.each(await variantSettings("reduce", ["subgroup", "workgroup"]))("norms, $name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);
  const f32 = (values: Float32Array) => Tensor.from(gpu, values, [values.length]);
  const params = (channels: number) => ({
    weight: numbers("f32", 8, channels, { mean: 1, scale: 0.2 }),
    bias: numbers("f32", 9, channels),
  });

  for (const mean of [0, 3, 1e4])
    test.for(GROUPS)(
      `groupNorm with a mean of ${mean}: $n x $pixels x $channels in $groups`,
      async ({ n, pixels: [h, w], channels, groups }) => {
        const x = numbers(elem, 1, n * h * w * channels, { mean });
        const { weight, bias } = params(channels);
        const exact = groupNorm(x, [n, h * w, channels], groups, { weight, bias, eps: 1e-5 });
        const y = await run(gpu, () =>
          ops.groupNorm(tensor(x, [n, h, w, channels]), groups, { weight: f32(weight), bias: f32(bias), eps: 1e-5 }),
        );
        expect(worst(y, exact)).toBeLessThan((elem === "f32" ? limitFor(mean) : HALF_LIMIT) * magnitude(exact));
      },
    );

  test("groupNorm with SiLU", async () => {
    const x = numbers(elem, 1, 2 * 35 * 64);
    const { weight, bias } = params(64);
    const exact = groupNorm(x, [2, 35, 64], 8, { weight, bias, eps: 1e-6 }).map((v) => v / (1 + Math.exp(-v)));
    const y = await run(gpu, () =>
      ops.groupNorm(tensor(x, [2, 5, 7, 64]), 8, {
        weight: f32(weight),
        bias: f32(bias),
        eps: 1e-6,
        activation: "silu",
      }),
    );
    expect(worst(y, exact)).toBeLessThan((elem === "f32" ? 2e-6 : HALF_LIMIT) * magnitude(exact));
  });

  for (const mean of [0, 1e4])
    test.for([8, 40, 132, 320, 1280, 4096])(`layerNorm with a mean of ${mean} over %i channels`, async (channels) => {
      const x = numbers(elem, 1, 5 * channels, { mean });
      const { weight, bias } = params(channels);
      const exact = layerNorm(x, channels, { weight, bias, eps: 1e-5 });
      const y = await run(gpu, () => ops.layerNorm(tensor(x, [5, channels]), { weight: f32(weight), bias: f32(bias) }));
      expect(worst(y, exact)).toBeLessThan((elem === "f32" ? limitFor(mean) : HALF_LIMIT) * magnitude(exact));
    });

  test("a constant input gives the bias, not a division by zero", async () => {
    const x = new Float32Array(64).fill(elem === "f16" ? 6e4 : 1e6);
    const { weight, bias } = params(16);
    const layer = await run(gpu, () => ops.layerNorm(tensor(x, [4, 16]), { weight: f32(weight), bias: f32(bias) }));
    const group = await run(gpu, () =>
      ops.groupNorm(tensor(x, [1, 2, 2, 16]), 4, { weight: f32(weight), bias: f32(bias) }),
    );
    const expected = Float64Array.from({ length: 64 }, (_, i) => bias[i % 16]!);
    for (const y of [layer, group])
      expect(worst(y, expected)).toBeLessThan(elem === "f32" ? 1e-6 : HALF_LIMIT * magnitude(expected));
  });

  test("softmax of the lowest numbers: what fills a row up takes no part", async () => {
    const lowest = elem === "f32" ? -3.4e38 : -65504;
    const y = await run(gpu, () => ops.softmax(tensor(new Float32Array(6).fill(lowest), [2, 3])));
    expect(worst(y, new Float32Array(6).fill(1 / 3))).toBeLessThan(elem === "f32" ? 4e-6 : HALF_LIMIT);
  });

  test.for([1, 3, 8, 77, 130, 1000])("softmax of %i logits up to ±200", async (length) => {
    const x = numbers(elem, 1, 7 * length, { scale: 70 }).map((v) => Math.max(-200, Math.min(200, v)));
    const exact = softmax(x, length);
    const y = await run(gpu, () => ops.softmax(tensor(x, [7, length])));
    // exp is known to a few units in the last place on every adapter
    expect(worst(y, exact)).toBeLessThan(elem === "f32" ? 4e-6 : HALF_LIMIT);
  });
});

/** A mean of 1e4 against a deviation of 1: inputs are exact, and so is x - pivot; a few roundings remain. */
const limitFor = (mean: number) => (mean > 100 ? 4e-6 : 2e-6);
