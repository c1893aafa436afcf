import { describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { conv2d, convOutput, linear, type ConvShape } from "../reference/products.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, worst, variantSettings } from "./harness.ts";

// Products and convolutions in every variant against float64, at sizes that divide no tile.

/** Error of the same sum in float32, term after term: what any order of summation may be measured against. */
function straightError(
  x: Float32Array,
  w: Float32Array,
  [m, n, k]: readonly [number, number, number],
  exact: Float64Array,
): number {
  let largest = 0;
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum = Math.fround(sum + Math.fround(x[i * k + l]! * w[j * k + l]!));
      largest = Math.max(largest, Math.abs(sum - exact[i * n + j]!));
    }
  return largest;
}

const SIZES = [
  [1, 1, 1],
  [1, 5, 3],
  [3, 7, 13],
  [5, 4, 8],
  [17, 33, 65],
  [33, 12, 127],
  [70, 36, 20],
  [16, 128, 40],
] as const;

const CONVS: readonly (ConvShape & { readonly label: string })[] = [
  { label: "1x1", n: 2, h: 3, w: 5, inputs: 9, outputs: 5, kernel: [1, 1] },
  { label: "3x3", n: 1, h: 7, w: 9, inputs: 8, outputs: 12, kernel: [3, 3], pad: [1, 1, 1, 1] },
  { label: "3x3 on one pixel", n: 3, h: 1, w: 1, inputs: 4, outputs: 4, kernel: [3, 3], pad: [1, 1, 1, 1] },
  {
    label: "3x3 stride 2, odd channels",
    n: 2,
    h: 9,
    w: 6,
    inputs: 3,
    outputs: 20,
    kernel: [3, 3],
    stride: 2,
    pad: [1, 1, 1, 1],
  },
  {
    label: "3x3 stride 2, padded right and below",
    n: 1,
    h: 8,
    w: 6,
    inputs: 12,
    outputs: 8,
    kernel: [3, 3],
    stride: 2,
    pad: [0, 1, 0, 1],
  },
  { label: "5x3", n: 1, h: 7, w: 11, inputs: 5, outputs: 7, kernel: [5, 3], pad: [2, 2, 1, 1] },
  { label: "7x7", n: 1, h: 13, w: 10, inputs: 4, outputs: 9, kernel: [7, 7], pad: [3, 3, 3, 3] },
  { label: "patches of 14", n: 1, h: 28, w: 42, inputs: 3, outputs: 16, kernel: [14, 14], stride: 14 },
];

const POST = [
  {},
  { activation: "silu" as const },
  { activation: "gelu" as const, residual: true },
  { activation: "none" as const, residual: true, shift: true },
];

describe.each(await variantSettings("gemm", ["subgroup", "tiled", "plain", "matrix-32x32"]))("$name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);
  const f32 = (values: Float32Array) => Tensor.from(gpu, values, [values.length]);

  test.for(SIZES)("linear %i rows, %i outputs, %i inputs", async ([m, n, k]) => {
    const [x, w] = [numbers(elem, 1, m * k), numbers(elem, 2, n * k)];
    const exact = linear(x, w, [m, n, k]);
    const natural = await run(gpu, () => ops.linear(tensor(x, [m, k]), tensor(w, [n, k])));
    const packed = await run(gpu, () => ops.linear(tensor(x, [m, k]), ops.packWeight(tensor(w, [n, k]))));
    // at most twice the error of a straight sum, and one rounding of the result
    const limit =
      elem === "f32"
        ? 2 * straightError(x, w, [m, n, k], exact) + 2 ** -24 * magnitude(exact)
        : HALF_LIMIT * magnitude(exact);
    expect(worst(natural, exact)).toBeLessThanOrEqual(limit);
    expect(worst(packed, exact)).toBeLessThanOrEqual(limit);
  });

  test.for(POST)("linear with bias and %o", async ({ activation = "none", residual }) => {
    const [m, n, k] = [19, 22, 37];
    const [x, w, bias, added] = [
      numbers(elem, 1, m * k),
      numbers(elem, 2, n * k),
      numbers("f32", 3, n),
      numbers(elem, 4, m * n),
    ];
    const exact = linear(x, w, [m, n, k], { bias, activation, ...(residual && { residual: added }) });
    const y = await run(gpu, () =>
      ops.linear(tensor(x, [m, k]), tensor(w, [n, k]), {
        bias: f32(bias),
        activation,
        residual: residual ? tensor(added, [m, n]) : undefined,
      }),
    );
    expect(worst(y, exact)).toBeLessThan((elem === "f32" ? 1e-6 : HALF_LIMIT) * magnitude(exact));
  });

  test.for([
    { n: 4, t: 5, m: 2, u: 3, inputs: 12, outputs: 8 },
    { n: 2, t: 17, m: 1, u: 1, inputs: 72, outputs: 36 },
    { n: 3, t: 1, m: 3, u: 70, inputs: 4, outputs: 4 },
    { n: 2, t: 3, m: 1, u: 2, inputs: 5, outputs: 7 }, // rows that are padded: no part can be written in place
  ])("a product and tokens behind each batch's, $n × $t and $m × $u", async ({ n, t, m, u, inputs, outputs }) => {
    const [x, w] = [numbers(elem, 1, n * t * inputs), numbers(elem, 2, outputs * inputs)];
    const [bias, behind] = [numbers("f32", 3, outputs), numbers(elem, 4, m * u * outputs)];
    const own = linear(x, w, [n * t, outputs, inputs], { bias });
    const exact = Array.from({ length: n }, (_, batch) => {
      const shared = Math.floor((batch * m) / n);
      return [
        ...own.subarray(batch * t * outputs, (batch + 1) * t * outputs),
        ...behind.subarray(shared * u * outputs, (shared + 1) * u * outputs),
      ];
    }).flat();
    for (const pack of [false, true]) {
      const y = await run(gpu, () => {
        const weight = tensor(w, [outputs, inputs]);
        const tokens = tensor(behind, [m, u, outputs]);
        return ops.linearAppend(tensor(x, [n, t, inputs]), pack ? ops.packWeight(weight) : weight, tokens, {
          bias: f32(bias),
        });
      });
      expect(worst(y, exact)).toBeLessThan((elem === "f32" ? 1e-6 : HALF_LIMIT) * magnitude(exact));
    }
  });

  test.for([
    [1, 8, 4],
    [19, 24, 37],
    [5, 40, 12],
    [37, 136, 20], // halves that end inside a tile
  ] as const)("values times gelu of gates, %i rows, %i columns, %i inputs", async ([m, n, k]) => {
    const [x, w, bias] = [numbers(elem, 1, m * k), numbers(elem, 2, n * k), numbers("f32", 3, n)];
    const both = linear(x, w, [m, n, k], { bias });
    const gates = linear(x, w, [m, n, k], { bias, activation: "gelu" });
    const exact = Float64Array.from({ length: (m * n) / 2 }, (_, i) => {
      const at = Math.floor(i / (n / 2)) * n + (i % (n / 2));
      return both[at]! * gates[at + n / 2]!;
    });
    const limit = (elem === "f32" ? 2e-6 : HALF_LIMIT) * magnitude(exact);
    for (const pack of [false, true]) {
      const y = await run(gpu, () => {
        const weight = tensor(w, [n, k]);
        return ops.linearGeglu(tensor(x, [m, k]), pack ? ops.packWeight(weight) : weight, { bias: f32(bias) });
      });
      expect(worst(y, exact)).toBeLessThan(limit);
    }
  });

  test("matmul of batches, both ways round, shared and not", async () => {
    for (const [b, m, k, n] of [
      [2, 5, 7, 9],
      [3, 16, 8, 12],
      [1, 1, 130, 3],
    ] as const) {
      const [x, y, shared] = [numbers(elem, 1, b * m * k), numbers(elem, 2, b * k * n), numbers(elem, 3, n * k)];
      const exact = Float64Array.from({ length: b * m * n }, (_, i) => {
        const [batch, row, column] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n];
        let sum = 0;
        for (let l = 0; l < k; l++) sum += x[(batch * m + row) * k + l]! * y[(batch * k + l) * n + column]!;
        return sum;
      });
      const limit = (elem === "f32" ? 1e-6 : HALF_LIMIT) * magnitude(exact);
      expect(worst(await run(gpu, () => ops.matmul(tensor(x, [b, m, k]), tensor(y, [b, k, n]))), exact)).toBeLessThan(
        limit,
      );
      const once = linear(x, shared, [b * m, n, k]);
      const transposed = await run(gpu, () =>
        ops.matmul(tensor(x, [b, m, k]), tensor(shared, [n, k]), { transposeB: true }),
      );
      expect(worst(transposed, once)).toBeLessThan((elem === "f32" ? 1e-6 : HALF_LIMIT) * magnitude(once));
    }
  });

  test.for(CONVS)("convolution $label", async (shape) => {
    const { n, h, w, inputs, outputs, kernel, stride = 1, pad = [0, 0, 0, 0] } = shape;
    const [oh, ow] = convOutput(shape);
    const x = numbers(elem, 1, n * h * w * inputs);
    const weight = numbers(elem, 2, outputs * inputs * kernel[0] * kernel[1]);
    const [bias, shift, residual] = [
      numbers("f32", 3, outputs),
      numbers(elem, 4, n * outputs),
      numbers(elem, 5, n * oh * ow * outputs),
    ];
    const [top, bottom, left, right] = pad;
    for (const post of POST) {
      const used = { ...(post.residual && { residual }), ...("shift" in post && { shift }) };
      const exact = conv2d(x, weight, shape, { bias, activation: post.activation ?? "none", ...used });
      const y = await run(gpu, () =>
        ops.conv2d(tensor(x, [n, h, w, inputs]), tensor(weight, [outputs, inputs, ...kernel]), {
          bias: f32(bias),
          stride,
          padding: { top, bottom, left, right },
          activation: post.activation ?? "none",
          residual: post.residual ? tensor(residual, [n, oh, ow, outputs]) : undefined,
          shift: "shift" in post ? tensor(shift, [n, outputs]) : undefined,
        }),
      );
      expect(worst(y, exact)).toBeLessThan((elem === "f32" ? 2e-6 : HALF_LIMIT) * magnitude(exact));
    }
  });

  test("a NaN in the first pixel stays under the windows that see it, padding multiplies nothing", async () => {
    const shape = { n: 1, h: 5, w: 7, inputs: 4, outputs: 8, kernel: [3, 3], pad: [1, 1, 1, 1] } as const;
    const [x, weight] = [numbers(elem, 1, 140), numbers(elem, 2, 288)];
    x.fill(NaN, 0, 4);
    const exact = conv2d(x, weight, shape);
    const y = await run(gpu, () => ops.conv2d(tensor(x, [1, 5, 7, 4]), tensor(weight, [8, 4, 3, 3]), { padding: 1 }));
    const finite = (values: ArrayLike<number>) => Array.from(values, Number.isFinite);
    expect(finite(y)).toEqual(finite(exact));
    expect(finite(y).filter((is) => !is).length).toBe(4 * 8);
  });

  test("values near the end of float16's range are summed in float32", async () => {
    const [m, n, k] = [9, 8, 64];
    // every term is near 6e4 · 6e4, far beyond float16; the sum cancels to small numbers
    const x = numbers(elem, 1, m * k, { scale: 100 }).map(
      (value, i) => (i % 2 ? 6e4 : -6e4) + (elem === "f32" ? value : 0),
    );
    const w = Float32Array.from({ length: n * k }, (_, i) => ((i % k) % 2 ? 1 : 1) * 0.5 + 2 ** -10 * (i % 7));
    const exact = linear(x, w, [m, n, k]);
    const y = await run(gpu, () => ops.linear(tensor(x, [m, k]), tensor(w, [n, k])));
    const terms = 6e4 * 0.5 * k; // what the sum's roundings are measured against
    expect(worst(y, exact)).toBeLessThan(
      elem === "f32" ? terms * 2 ** -22 : HALF_LIMIT * magnitude(exact) + terms * 2 ** -22,
    );
  });
});
