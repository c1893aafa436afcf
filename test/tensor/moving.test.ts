import { describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import * as oracle from "../reference/arrays.ts";
import { interpolate } from "../reference/elementwise.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, settings, worst } from "./harness.ts";

// Ops that move numbers move them exactly: in vectors where rows allow it, one by one where they do not, and by buffer
// copies where pieces are long. Broadcasting takes three ways too.

/** Every order of a few dimensions. */
const orders = (rank: number): number[][] =>
  rank === 0
    ? [[]]
    : orders(rank - 1).flatMap((order) =>
        Array.from({ length: rank }, (_, at) => [...order.slice(0, at), rank - 1, ...order.slice(at)]),
      );

describe.each(await settings())("$name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);
  const limit = elem === "f32" ? 1e-6 : HALF_LIMIT;

  test.for([
    [2, 3, 5, 7],
    [4, 3, 8, 2],
    [1, 8, 1, 12],
  ] as const)("permute %o in every order", async (shape) => {
    const x = numbers(elem, 1, oracle.size(shape));
    for (const dims of orders(4))
      expect([
        dims,
        worst(await run(gpu, () => ops.permute(tensor(x, shape), dims)), oracle.permute(x, shape, dims)),
      ]).toEqual([dims, 0]);
  });

  test("permute of two, three and five dimensions", async () => {
    for (const [shape, dims] of [
      [
        [33, 65],
        [1, 0],
      ],
      [
        [64, 128],
        [1, 0],
      ],
      [
        [7, 20, 12],
        [1, 0, 2],
      ],
      [
        [2, 3, 4, 5, 4],
        [4, 2, 0, 3, 1],
      ],
      [
        [2, 3, 4, 5, 4],
        [0, 3, 1, 2, 4],
      ],
    ] as const) {
      const x = numbers(elem, 1, oracle.size(shape));
      expect(worst(await run(gpu, () => ops.permute(tensor(x, shape), dims)), oracle.permute(x, shape, dims))).toBe(0);
    }
  });

  test.for([
    {
      sizes: [
        [3, 5, 7],
        [3, 1, 7],
        [3, 2, 7],
      ],
      dim: 1,
    },
    {
      sizes: [
        [5, 12],
        [5, 4],
        [5, 8],
      ],
      dim: 1,
    },
    {
      sizes: [
        [5, 9],
        [5, 1],
        [5, 3],
      ],
      dim: -1,
    },
    {
      sizes: [
        [1, 7],
        [3, 7],
      ],
      dim: 0,
    },
    {
      sizes: [
        [2, 4101],
        [2, 8203],
      ],
      dim: 1,
    }, // pieces long enough for buffer copies, if they begin at whole words
    {
      sizes: [
        [2, 8204],
        [2, 4100],
      ],
      dim: 1,
    },
  ] as const)("concat $sizes along $dim, and slices of the result", async ({ sizes, dim }) => {
    const parts = sizes.map((shape, i) => [numbers(elem, i + 1, oracle.size(shape)), shape] as const);
    const at = dim < 0 ? sizes[0]!.length + dim : dim;
    const exact = oracle.concat(parts, at);
    const y = await run(gpu, () =>
      ops.concat(
        parts.map(([x, shape]) => tensor(x, shape)),
        dim,
      ),
    );
    expect(worst(y, exact)).toBe(0);
    const whole = sizes[0]!.map((size, d) => (d === at ? sizes.reduce((sum, shape) => sum + shape[d]!, 0) : size));
    let start = 0;
    for (const [x, shape] of parts) {
      const end = start + shape[at]!;
      expect(worst(await run(gpu, () => ops.slice(tensor(y, whole), dim, start, end)), x)).toBe(0);
      start = end;
    }
  });

  test("slice of every dimension", async () => {
    const shape = [5, 7, 6, 9];
    const x = numbers(elem, 1, oracle.size(shape));
    for (const [dim, start, end] of [
      [0, 1, 4],
      [1, 2, 7],
      [2, 0, 5],
      [3, 4, 8],
      [3, 0, 1],
    ] as const)
      expect(
        worst(
          await run(gpu, () => ops.slice(tensor(x, shape), dim, start, end)),
          oracle.slice(x, shape, dim, start, end),
        ),
      ).toBe(0);
  });

  test.for([1, 3, 8, 13, 8200])("repeat of rows of %i", async (size) => {
    const x = numbers(elem, 1, size);
    const parts = Array.from({ length: 3 }, () => [x, [1, size]] as const);
    expect(worst(await run(gpu, () => ops.repeat(tensor(x, [1, size]), 3)), oracle.concat(parts, 0))).toBe(0);
  });

  test.for([1, 4, 9, 12])("embedding of %i channels", async (channels) => {
    const table = numbers(elem, 1, 17 * channels);
    const ids = Int32Array.of(16, 0, 3, 3, -1, 17, 2 ** 31 - 1, -(2 ** 31), 5);
    const exact = oracle.embedding(ids, table, channels);
    expect(
      worst(await run(gpu, () => ops.embedding(Tensor.from(gpu, ids, [3, 3]), tensor(table, [17, channels]))), exact),
    ).toBe(0);
  });

  test.for([
    [
      [2, 3, 4, 5],
      [3, 1, 5],
    ],
    [
      [1, 3, 1],
      [2, 1, 7],
    ],
    [[5, 1], [12]],
    [
      [4, 1, 8],
      [1, 6, 8],
    ],
    [[1, 1, 12], [12]],
    [[], [3, 5]],
    [
      [2, 1, 3, 1, 5],
      [1, 4, 1, 2, 1],
    ],
    [
      [16, 1],
      [16, 64],
    ],
    [[1], [1]],
  ] as const)("broadcasting %o and %o", async ([a, b]) => {
    const [x, y] = [numbers(elem, 1, oracle.size(a)), numbers(elem, 2, oracle.size(b), { mean: 4, scale: 0.5 })];
    for (const [op, apply] of [
      [ops.add, (p: number, q: number) => p + q],
      [ops.sub, (p: number, q: number) => p - q],
      [ops.mul, (p: number, q: number) => p * q],
      [ops.div, (p: number, q: number) => p / q],
    ] as const) {
      const exact = oracle.elementwise(apply, [x, a], [y, b]);
      const result = gpu.scope(() => op(tensor(x, a), tensor(y, b)));
      expect(result.shape).toEqual(oracle.broadcast(a, b));
      expect(worst(await result.data().finally(() => result.dispose()), exact)).toBeLessThan(limit * magnitude(exact));
    }
  });

  test("division keeps the digits of its result", async () => {
    const [x, y] = [numbers(elem, 1, 99, { scale: 10 }), numbers(elem, 2, 99, { mean: 1e-2, scale: 1e-3 })];
    const quotient = await run(gpu, () => ops.div(tensor(x, [99]), tensor(y, [99])));
    const relative = Array.from(quotient, (q, i) => Math.abs(q / (x[i]! / y[i]!) - 1));
    // WGSL promises 2.5 units in the last place; float16 then rounds once
    expect(Math.max(...relative)).toBeLessThan(elem === "f32" ? 2.5 * 2 ** -23 : 2 ** -11);
  });

  test("casting whole numbers", async () => {
    const ids = Int32Array.of(-(2 ** 31), 2 ** 24, -3);
    expect([...(await run(gpu, () => ops.cast(Tensor.from(gpu, ids, [3]), "f32")))]).toEqual([...ids]);
  });

  // sizes at which out · (in / out) in float32 is a bit less than a whole number, and PyTorch takes the pixel before
  test.for([
    { input: [14, 26], output: [46, 22], c: 4 },
    { input: [39, 30], output: [33, 58], c: 3 },
    { input: [7, 9], output: [7, 9], c: 5 },
    { input: [5, 6], output: [10, 12], c: 8 },
  ] as const)("nearest resizing $input to $output as PyTorch rounds", async ({ input, output, c }) => {
    const x = numbers(elem, 1, input[0] * input[1] * c);
    const exact = interpolate(x, { n: 1, input, output, c }, "nearest");
    expect(worst(await run(gpu, () => ops.interpolate(tensor(x, [1, ...input, c]), { size: output })), exact)).toBe(0);
  });

  test.for([1.5, 2, 0.4, 0.7, 1.9, 3])("resizing by %f", async (factor) => {
    const [input, c] = [[11, 7], 4] as const;
    const output = [Math.floor(11 * factor), Math.floor(7 * factor)] as const;
    const x = numbers(elem, 1, 2 * 77 * c);
    const image = () => tensor(x, [2, ...input, c]);
    const shape = { n: 2, input, output, c, factor };
    expect(
      worst(await run(gpu, () => ops.interpolate(image(), { scaleFactor: factor })), interpolate(x, shape, "nearest")),
    ).toBe(0);
    const exact = interpolate(x, shape, "bilinear");
    const y = await run(gpu, () => ops.interpolate(image(), { scaleFactor: factor, mode: "bilinear" }));
    expect(worst(y, exact)).toBeLessThan((elem === "f32" ? 1e-5 : HALF_LIMIT) * magnitude(exact)); // places are float32 too
  });

  test("a tensor that is assigned itself, or its own memory, stays what it is", async () => {
    const x = numbers(elem, 1, 12);
    const y = await run(gpu, () => {
      const t = tensor(x, [3, 4]);
      t.assign(t).assign(t.share());
      return t.assign(t.reshape(12).reshape(3, 4));
    });
    expect([...y]).toEqual([...x]);
  });

  test("timestepEmbedding, both orders and shifts", async () => {
    const steps = [0, 1, 0.5, 37, 250.25];
    for (const flipSinToCos of [false, true])
      for (const downscaleFreqShift of [0, 1]) {
        const options = { flipSinToCos, downscaleFreqShift };
        const exact = oracle.timestepEmbedding(steps, 64, options);
        const y = await run(gpu, () => ops.timestepEmbedding(gpu, steps, 64, options));
        expect(worst(y, exact)).toBeLessThan(250 * 2 ** -22); // an angle's last bits: float32 frequencies, as the reference has
      }
  });
});

describe.each((await settings()).filter(({ elem }) => elem === "f16"))("$name", ({ gpu }) => {
  test("casting rounds to the nearest, ties to even", async () => {
    const x = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 2049, 2051, 65_519, -65_503, 2 ** -14, -0.1, 1e-3, 0);
    const y = await run(gpu, () => ops.cast(ops.cast(Tensor.from(gpu, x, [10]), "f16"), "f32"));
    const rounded = [1, 1 + 2 ** -9, 2048, 2052, 65_504, -65_504, 2 ** -14, -1638 * 2 ** -14, 1049 * 2 ** -20, 0];
    expect([...y]).toEqual(rounded);
  });
});
