import { describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { requestDevice } from "../../src/node/device.ts";
import { conv2d, linear } from "../reference/products.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, withMatrices, worst } from "./harness.ts";

// Larger tiles, and products cut along k into parts that a second stage adds: each form against float64 at sizes that
// divide none of them. What all forms share is tested in products.test.ts.

const NAMES = ["tiled-64x64", "tiled-128x64/2", "subgroup-16/3", "plain/2", "matrix-32x32/3", "matrix-64x64"];
const own = await requestDevice();
const SETTINGS = NAMES.flatMap((name) =>
  (["f32", "f16"] as const)
    // emulated, the larger tile of 16 × 16 matrices takes the software adapter half a minute to compile
    .filter((elem) => elem === "f32" || (own.facts.f16 && name !== "matrix-64x64"))
    .map((elem) => ({ name, elem })),
);

describe.each(SETTINGS)("$name, $elem", async ({ name, elem }) => {
  const options = { variants: { gemm: name }, guard: 256 };
  const device = await requestDevice(options);
  const gpu = name.startsWith("matrix") ? withMatrices(device, options) : device;
  const tensor = maker({ name, gpu, elem });
  const near = (k: number) => (elem === "f32" ? 2 ** -23 * Math.sqrt(k) : HALF_LIMIT);

  test.for([
    [70, 36, 68],
    [131, 76, 300],
    [3, 8, 1000],
  ] as const)("linear %i rows, %i outputs, %i inputs", async ([m, n, k]) => {
    const [x, w, bias] = [numbers(elem, 1, m * k), numbers(elem, 2, n * k), numbers("f32", 3, n)];
    const residual = numbers(elem, 4, m * n);
    const exact = linear(x, w, [m, n, k], { bias, activation: "gelu", residual });
    const b = () => Tensor.from(gpu, bias, [n]);
    const post = () => ({ bias: b(), activation: "gelu" as const, residual: tensor(residual, [m, n]) });
    const natural = () => run(gpu, () => ops.linear(tensor(x, [m, k]), tensor(w, [n, k]), post()));
    const packed = await run(gpu, () => ops.linear(tensor(x, [m, k]), ops.packWeight(tensor(w, [n, k])), post()));
    const first = await natural();
    expect(worst(first, exact)).toBeLessThan(near(k) * magnitude(exact));
    expect(worst(packed, exact)).toBeLessThan(near(k) * magnitude(exact));
    expect(await natural()).toEqual(first); // to the last bit
  });

  test.for([
    [70, 136, 300],
    [3, 8, 1000],
  ] as const)("values times gelu of gates, %i rows, %i columns, %i inputs", async ([m, n, k]) => {
    const [x, w, bias] = [numbers(elem, 1, m * k), numbers(elem, 2, n * k), numbers("f32", 3, n)];
    const both = linear(x, w, [m, n, k], { bias });
    const gates = linear(x, w, [m, n, k], { bias, activation: "gelu" });
    const exact = Float64Array.from({ length: (m * n) / 2 }, (_, i) => {
      const at = Math.floor(i / (n / 2)) * n + (i % (n / 2));
      return both[at]! * gates[at + n / 2]!;
    });
    const y = await run(gpu, () =>
      ops.linearGeglu(tensor(x, [m, k]), tensor(w, [n, k]), { bias: Tensor.from(gpu, bias, [n]) }),
    );
    expect(worst(y, exact)).toBeLessThan(2 * near(k) * magnitude(exact));
  });

  test("a batch of products", async () => {
    const [b, m, n, k] = [3, 33, 20, 52];
    const [x, w] = [numbers(elem, 1, b * m * k), numbers(elem, 2, b * n * k)];
    const exact = Float64Array.from(
      Array.from({ length: b }, (_, i) =>
        Array.from(linear(x.subarray(i * m * k, (i + 1) * m * k), w.subarray(i * n * k, (i + 1) * n * k), [m, n, k])),
      ).flat(),
    );
    const y = await run(gpu, () => ops.matmul(tensor(x, [b, m, k]), tensor(w, [b, n, k]), { transposeB: true }));
    expect(worst(y, exact)).toBeLessThan(near(k) * magnitude(exact));
  });

  test("a convolution with all that can follow it", async () => {
    const shape = { n: 2, h: 9, w: 7, inputs: 20, outputs: 44, kernel: [3, 3], pad: [1, 1, 1, 1] } as const;
    const { n, h, w, inputs, outputs } = shape;
    const [x, weight] = [numbers(elem, 1, n * h * w * inputs), numbers(elem, 2, outputs * inputs * 9)];
    const [bias, shift] = [numbers("f32", 3, outputs), numbers(elem, 4, n * outputs)];
    const residual = numbers(elem, 5, n * h * w * outputs);
    const exact = conv2d(x, weight, shape, { bias, shift, activation: "silu", residual });
    const y = await run(gpu, () =>
      ops.conv2d(tensor(x, [n, h, w, inputs]), tensor(weight, [outputs, inputs, 3, 3]), {
        bias: Tensor.from(gpu, bias, [outputs]),
        shift: tensor(shift, [n, outputs]),
        residual: tensor(residual, [n, h, w, outputs]),
        padding: 1,
        activation: "silu",
      }),
    );
    expect(worst(y, exact)).toBeLessThan(near(inputs * 9) * magnitude(exact));
  });
});
