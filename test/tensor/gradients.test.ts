import { describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/ops.ts";
import { Tape } from "../../src/tensor/tape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import * as arrays from "../reference/arrays.ts";
import {
  activations,
  geglu,
  groupNorm,
  interpolate,
  layerNorm,
  pool,
  type ActivationName,
} from "../reference/elementwise.ts";
import { attention, conv2d, convOutput, linear, softmax, type ConvShape, type Values } from "../reference/products.ts";
import { HALF_LIMIT, magnitude, maker, numbers, settings, worst } from "./harness.ts";

// Gradients against central differences of the float64 oracles, at sizes that divide neither vectors nor tiles and at
// magnitudes that cancel or saturate, on every device and storage type.

interface Operand {
  readonly shape: readonly number[];
  readonly mean?: number;
  readonly scale?: number;
  /** Vectors (biases, weights of norms) are float32 whatever the storage type. */
  readonly vector?: boolean;
}

interface Case {
  readonly operands: Readonly<Record<string, Operand>>;
  readonly ours: (t: Readonly<Record<string, Tensor>>) => Tensor;
  readonly oracle: (v: Readonly<Record<string, Values>>) => Float64Array;
}

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

const { relu, silu, gelu, geluTanh, quickGelu, tanh, sigmoid, exp } = ops;
const unary = { relu, silu, gelu, geluTanh, quickGelu, tanh, sigmoid, exp } as const;

const activation = (name: keyof typeof unary, scale: number): Case => ({
  operands: { x: { shape: [37], scale } },
  ours: ({ x }) => unary[name](x!),
  oracle: ({ x }) => Float64Array.from(x!, activations[name]),
});

const conv = (shape: ConvShape, padding: ops.Conv2dOptions["padding"], act: ActivationName = "none"): Case => {
  const [oh, ow] = convOutput(shape);
  const full = [shape.n, oh, ow, shape.outputs];
  return {
    operands: {
      x: { shape: [shape.n, shape.h, shape.w, shape.inputs] },
      w: { shape: [shape.outputs, shape.inputs, ...shape.kernel], scale: 0.3 },
      b: { shape: [shape.outputs], vector: true },
      s: { shape: [shape.n, shape.outputs] },
      r: { shape: full },
    },
    ours: ({ x, w, b, s, r }) =>
      ops.conv2d(x!, w!, {
        bias: b,
        shift: s,
        residual: r,
        activation: act as "none",
        stride: shape.stride ?? 1,
        ...(padding !== undefined && { padding }),
      }),
    oracle: ({ x, w, b, s, r }) => conv2d(x!, w!, shape, { bias: b!, shift: s!, residual: r!, activation: act }),
  };
};

const heads = (n: number, queries: number, keys: number, count: number, headDim: number, more: object = {}): Case => ({
  operands: {
    q: { shape: [n, queries, count * headDim] },
    k: { shape: [n, keys, count * headDim] },
    v: { shape: [n, keys, count * headDim] },
  },
  ours: ({ q, k, v }) => ops.scaledDotProductAttention(q!, k!, v!, { heads: count, ...more }),
  oracle: ({ q, k, v }) =>
    attention(q!, k!, v!, { n, queries, keys, heads: count, headDim, causal: "isCausal" in more }),
});

const CASES: Readonly<Record<string, Case>> = {
  ...Object.fromEntries(Object.keys(unary).map((name) => [name, activation(name as keyof typeof unary, 2)])),
  "silu of large values": activation("silu", 80),
  "gelu of large values": activation("gelu", 40),
  "geluTanh of large values": activation("geluTanh", 400),
  clamp: {
    operands: { x: { shape: [29] } },
    ours: ({ x }) => ops.clamp(x!, -0.5, 0.75),
    oracle: ({ x }) => arrays.clamp(x!, -0.5, 0.75),
  },
  "add of broadcasts": {
    operands: { a: { shape: [2, 1, 5] }, b: { shape: [3, 1] } },
    ours: ({ a, b }) => ops.add(a!, b!),
    oracle: ({ a, b }) => arrays.elementwise((x, y) => x + y, [a!, [2, 1, 5]], [b!, [3, 1]]),
  },
  "sub of a suffix": {
    operands: { a: { shape: [3, 8] }, b: { shape: [8] } },
    ours: ({ a, b }) => ops.sub(b!, a!),
    oracle: ({ a, b }) => arrays.elementwise((x, y) => y - x, [a!, [3, 8]], [b!, [8]]),
  },
  "mul of broadcasts": {
    operands: { a: { shape: [2, 3, 1, 5] }, b: { shape: [3, 7, 1] } },
    ours: ({ a, b }) => ops.mul(a!, b!),
    oracle: ({ a, b }) => arrays.elementwise((x, y) => x * y, [a!, [2, 3, 1, 5]], [b!, [3, 7, 1]]),
  },
  "div of broadcasts": {
    operands: { a: { shape: [3, 5] }, b: { shape: [1, 5], mean: 3, scale: 0.3 } },
    ours: ({ a, b }) => ops.div(a!, b!),
    oracle: ({ a, b }) => arrays.elementwise((x, y) => x / y, [a!, [3, 5]], [b!, [1, 5]]),
  },
  "numbers, and one tensor twice": {
    operands: { x: { shape: [13] } },
    ours: ({ x }) => ops.sub(ops.div(ops.mul(ops.add(x!, 3), x!), 4), 1),
    oracle: ({ x }) => Float64Array.from(x!, (v) => ((v + 3) * v) / 4 - 1),
  },
  weightedSum: {
    operands: { a: { shape: [9] }, b: { shape: [9] } },
    ours: ({ a, b }) => ops.weightedSum([[0.25, a!], [-3, b!], [2, a!]]), // prettier-ignore
    oracle: ({ a, b }) => arrays.weightedSum([[2.25, a!], [-3, b!]]), // prettier-ignore
  },
  linear: {
    operands: {
      x: { shape: [2, 5, 7] },
      w: { shape: [9, 7] },
      b: { shape: [9], vector: true },
      r: { shape: [2, 5, 9] },
    },
    ours: ({ x, w, b, r }) => ops.linear(x!, w!, { bias: b, residual: r, activation: "gelu" }),
    oracle: ({ x, w, b, r }) => linear(x!, w!, [10, 9, 7], { bias: b!, residual: r!, activation: "gelu" }),
  },
  "linear, packed": {
    operands: { x: { shape: [11, 6] }, w: { shape: [5, 6] } },
    ours: ({ x, w }) => ops.linear(x!, ops.packWeight(w!), { activation: "quickGelu" }),
    oracle: ({ x, w }) => linear(x!, w!, [11, 5, 6], { activation: "quickGelu" }),
  },
  "matmul, transposed": {
    operands: { a: { shape: [2, 3, 7] }, b: { shape: [2, 5, 7] } },
    ours: ({ a, b }) => ops.matmul(a!, b!, { transposeB: true, activation: "silu" }),
    oracle: ({ a, b }) =>
      Float64Array.from(arrays.matmul(a!, b!, [2, 3, 7, 5], { transposed: true }), activations.silu),
  },
  "matmul with a shared right side": {
    operands: { a: { shape: [3, 4, 6] }, b: { shape: [6, 5] } },
    ours: ({ a, b }) => ops.matmul(a!, b!),
    oracle: ({ a, b }) => arrays.matmul(a!, b!, [3, 4, 6, 5], { shared: true }),
  },
  "conv2d 3x3": conv({ n: 2, h: 5, w: 4, inputs: 5, outputs: 6, kernel: [3, 3], pad: [1, 1, 1, 1] }, 1, "silu"),
  "conv2d, stride 2, padding on two sides": conv(
    { n: 1, h: 6, w: 7, inputs: 3, outputs: 4, kernel: [3, 3], stride: 2, pad: [0, 1, 0, 1] },
    { top: 0, bottom: 1, left: 0, right: 1 },
  ),
  "conv2d, stride 3, rows left over": conv({ n: 1, h: 9, w: 8, inputs: 2, outputs: 3, kernel: [2, 3], stride: 3 }, 0),
  "conv2d, padding wider than the kernel": conv(
    { n: 1, h: 3, w: 4, inputs: 2, outputs: 3, kernel: [2, 2], pad: [3, 3, 2, 2] },
    [3, 2],
  ),
  "conv2d 1x1": conv({ n: 2, h: 3, w: 3, inputs: 7, outputs: 5, kernel: [1, 1] }, 0),
  "conv2d 1x1, packed": {
    operands: { x: { shape: [2, 3, 2, 6] }, w: { shape: [5, 6, 1, 1] } },
    ours: ({ x, w }) => ops.conv2d(x!, ops.packWeight(w!)),
    oracle: ({ x, w }) => conv2d(x!, w!, { n: 2, h: 3, w: 2, inputs: 6, outputs: 5, kernel: [1, 1] }),
  },
  groupNorm: {
    operands: { x: { shape: [2, 3, 5, 12] }, w: { shape: [12], vector: true }, b: { shape: [12], vector: true } },
    ours: ({ x, w, b }) => ops.groupNorm(x!, 2, { weight: w!, bias: b!, eps: 1e-5, activation: "silu" }),
    oracle: ({ x, w, b }) =>
      Float64Array.from(groupNorm(x!, [2, 15, 12], 2, { weight: w!, bias: b!, eps: 1e-5 }), activations.silu),
  },
  "groupNorm about a large mean": {
    operands: { x: { shape: [1, 7, 8], mean: 1000 }, w: { shape: [8], vector: true }, b: { shape: [8], vector: true } },
    ours: ({ x, w, b }) => ops.groupNorm(x!, 4, { weight: w!, bias: b! }),
    oracle: ({ x, w, b }) => groupNorm(x!, [1, 7, 8], 4, { weight: w!, bias: b!, eps: 1e-5 }),
  },
  layerNorm: {
    operands: { x: { shape: [5, 12], mean: 30 }, w: { shape: [12], vector: true }, b: { shape: [12], vector: true } },
    ours: ({ x, w, b }) => ops.layerNorm(x!, { weight: w!, bias: b! }),
    oracle: ({ x, w, b }) => layerNorm(x!, 12, { weight: w!, bias: b!, eps: 1e-5 }),
  },
  softmax: {
    operands: { x: { shape: [3, 7], scale: 3 } },
    ours: ({ x }) => ops.softmax(x!),
    oracle: ({ x }) => softmax(x!, 7),
  },
  "softmax of large values": {
    operands: { x: { shape: [3, 9], mean: 200, scale: 2 } },
    ours: ({ x }) => ops.softmax(x!),
    oracle: ({ x }) => softmax(x!, 9),
  },
  geglu: {
    operands: { x: { shape: [3, 16] } },
    ours: ({ x }) => ops.geglu(x!),
    oracle: ({ x }) => geglu(x!, 8),
  },
  attention: heads(2, 5, 7, 2, 4),
  "attention, causal": heads(1, 9, 9, 1, 8, { isCausal: true }),
  "attention, one wide head": heads(1, 3, 5, 1, 164),
  "attention, shared keys": {
    operands: { q: { shape: [3, 4, 8] }, k: { shape: [1, 5, 8] }, v: { shape: [1, 5, 8] } },
    ours: ({ q, k, v }) => ops.scaledDotProductAttention(q!, k!, v!, { heads: 2 }),
    oracle: ({ q, k, v }) => {
      const runs = [k!, v!].map((t) => arrays.joinRuns(3, [[t, [1, 5, 8]]])) as [Float64Array, Float64Array];
      return attention(q!, ...runs, { n: 3, queries: 4, keys: 5, heads: 2, headDim: 4 });
    },
  },
  "attention, two runs of keys": {
    operands: {
      q: { shape: [4, 3, 8] },
      k: { shape: [4, 2, 8] },
      v: { shape: [4, 2, 8] },
      k2: { shape: [2, 3, 8] },
      v2: { shape: [2, 3, 8] },
    },
    ours: ({ q, k, v, k2, v2 }) =>
      ops.scaledDotProductAttention(q!, k!, v!, { heads: 1, scale: 0.7, more: { k: k2!, v: v2! } }),
    oracle: ({ q, k, v, k2, v2 }) => {
      const join = (a: Values, b: Values) => arrays.joinRuns(4, [[a, [4, 2, 8]], [b, [2, 3, 8]]]); // prettier-ignore
      return attention(q!, join(k!, k2!), join(v!, v2!), {
        n: 4,
        queries: 3,
        keys: 5,
        heads: 1,
        headDim: 8,
        scale: 0.7,
      });
    },
  },
  "nearest resizing": {
    operands: { x: { shape: [2, 3, 5, 3] } },
    ours: ({ x }) => ops.interpolate(x!, { size: [7, 4] }),
    oracle: ({ x }) => interpolate(x!, { n: 2, input: [3, 5], output: [7, 4], c: 3 }, "nearest"),
  },
  "nearest resizing by 0.4": {
    operands: { x: { shape: [1, 9, 8, 4] } },
    ours: ({ x }) => ops.interpolate(x!, { scaleFactor: 0.4 }),
    oracle: ({ x }) => interpolate(x!, { n: 1, input: [9, 8], output: [3, 3], c: 4, factor: 0.4 }, "nearest"),
  },
  "bilinear resizing": {
    operands: { x: { shape: [1, 3, 5, 4] } },
    ours: ({ x }) => ops.interpolate(x!, { size: [8, 3], mode: "bilinear" }),
    oracle: ({ x }) => interpolate(x!, { n: 1, input: [3, 5], output: [8, 3], c: 4 }, "bilinear"),
  },
  "bilinear resizing of aligned corners": {
    operands: { x: { shape: [1, 4, 3, 2] } },
    ours: ({ x }) => ops.interpolate(x!, { size: [1, 7], mode: "bilinear", alignCorners: true }),
    oracle: ({ x }) => interpolate(x!, { n: 1, input: [4, 3], output: [1, 7], c: 2 }, "bilinear", true),
  },
  maxPool2d: {
    operands: { x: { shape: [2, 7, 5, 3] } },
    ours: ({ x }) => ops.maxPool2d(x!, { kernelSize: 3, stride: 2, padding: 1 }),
    oracle: ({ x }) => pool(x!, { n: 2, input: [7, 5], output: [4, 3], c: 3 }, "max", { kernel: 3, stride: 2, pad: 1 }),
  },
  avgPool2d: {
    operands: { x: { shape: [1, 7, 5, 4] } },
    ours: ({ x }) => ops.avgPool2d(x!, { kernelSize: 3, stride: 2, padding: 1 }),
    oracle: ({ x }) =>
      pool(x!, { n: 1, input: [7, 5], output: [4, 3], c: 4 }, "average", { kernel: 3, stride: 2, pad: 1 }),
  },
  concat: {
    operands: { a: { shape: [2, 3, 5] }, b: { shape: [2, 1, 5] } },
    ours: ({ a, b }) => ops.concat([a!, b!, a!], 1),
    oracle: ({ a, b }) => arrays.concat([[a!, [2, 3, 5]], [b!, [2, 1, 5]], [a!, [2, 3, 5]]], 1), // prettier-ignore
  },
  "slice, permute, repeat, reshape, cast": {
    operands: { x: { shape: [3, 5, 4] } },
    ours: ({ x }) => {
      const part = ops.permute(ops.slice(x!, 1, 1, 4), [2, 0, 1]).reshape(4, 9);
      return ops.repeat(ops.cast(part, "f32"), 2);
    },
    oracle: ({ x }) => {
      const part = arrays.permute(arrays.slice(x!, [3, 5, 4], 1, 1, 4), [3, 3, 4], [2, 0, 1]);
      return Float64Array.from([...part, ...part]);
    },
  },
  "sum over some dimensions": {
    operands: { x: { shape: [3, 5, 7, 2] } },
    ours: ({ x }) => ops.sum(x!, { dims: [-1, 1] }),
    oracle: ({ x }) =>
      Float64Array.from({ length: 21 }, (_, i) => {
        const [a, c] = [Math.floor(i / 7), i % 7];
        let sum = 0;
        for (let b = 0; b < 5; b++) for (let d = 0; d < 2; d++) sum += x![((a * 5 + b) * 7 + c) * 2 + d]!;
        return sum;
      }),
  },
  "mean squared difference": {
    operands: { x: { shape: [3, 67] }, y: { shape: [3, 67] } },
    ours: ({ x, y }) => ops.mseLoss(x!, y!),
    oracle: ({ x, y }) =>
      Float64Array.of(Array.from(x!, (v, i) => (v - y![i]!) ** 2 / x!.length).reduce((a, b) => a + b)),
  },
};

/** Σ g · the oracle's derivative, by central differences, for every element of every operand. */
function differences(
  { operands, oracle }: Case,
  values: Readonly<Record<string, Float32Array>>,
  g: Values,
): Record<string, Float64Array> {
  const loss = (v: Readonly<Record<string, Values>>) => oracle(v).reduce((sum, y, i) => sum + y * g[i]!, 0);
  return Object.fromEntries(
    Object.entries(operands).map(([name, { scale = 1 }]) => {
      const own = Float64Array.from(values[name]!);
      const found = own.map((value, i) => {
        const h = 1e-5 * scale;
        const at = (x: number) => {
          const moved = own.slice();
          moved[i] = x;
          return loss({ ...values, [name]: moved });
        };
        return (at(value + h) - at(value - h)) / (2 * h);
      });
      return [name, found];
    }),
  );
}

/** Reads tensors and frees them. */
async function readAll(tensors: readonly Tensor[]): Promise<Float32Array[]> {
  const values = await Promise.all(tensors.map((tensor) => tensor.data()));
  for (const tensor of tensors) tensor.dispose();
  return values;
}

describe.each(await settings())("gradients, $name", (setting) => {
  const { gpu, elem } = setting;
  test.for(Object.entries(CASES))("%s", async ([, checked]) => {
    const entries = Object.entries(checked.operands);
    const values = Object.fromEntries(
      entries.map(([name, { shape, vector, ...spread }], i) => [
        name,
        numbers(vector ? "f32" : elem, i + 1, size(shape), spread),
      ]),
    );
    const result = checked.oracle(values);
    const g = numbers(elem, 99, result.length);
    const { found, again } = gpu.scope(() => {
      const run = () => {
        const tensors = Object.fromEntries(
          entries.map(([name, { shape, vector }]) => [
            name,
            maker(vector ? { ...setting, elem: "f32" } : setting)(values[name]!, shape),
          ]),
        );
        const tape = new Tape(gpu);
        const targets = Object.values(tensors);
        tape.watch(targets);
        const y = tape.run(() => checked.ours(tensors));
        return tape.backward(y, targets, maker({ ...setting, elem: y.dtype as "f32" })(g, y.shape)) as Tensor[];
      };
      return { found: run(), again: run() };
    });
    const [own, second] = [await readAll(found), await readAll(again)];
    expect(second).toEqual(own);
    const expected = differences(checked, values, g);
    for (const [i, [name]] of entries.entries()) {
      const error = worst(own[i]!, expected[name]!) / magnitude(expected[name]!);
      expect(error, name).toBeLessThan(elem === "f16" ? 8 * HALF_LIMIT : 2e-5);
    }
    await gpu.checkGuards();
    expect(gpu.memory.live).toBe(0);
  });
});
