import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { requestDevice } from "../../src/node/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { DTypeError, ShapeError } from "../../src/util/errors.ts";
import { devices } from "../helpers.ts";
import { inputsFor, ODD, type Inputs } from "./cases.ts";

// Operands that do not fit are refused in one line that names the op and both shapes, and nothing stays behind.

/** Tensors of zeros by their shape: f32, f16, i32. */
interface Make {
  readonly gpu: Device;
  t(...shape: number[]): Tensor;
  h(...shape: number[]): Tensor;
  i(...shape: number[]): Tensor;
}

type Refusal = readonly [name: string, (make: Make) => unknown, message: string];

const SHAPES: readonly Refusal[] = [
  ["linear", ({ t }) => ops.linear(t(2, 3), t(4, 5)), "linear: inner sizes differ: [2, 3] and [4, 5]"],
  ["linear's bias", ({ t }) => ops.linear(t(2, 3), t(4, 3), { bias: t(5) }), "linear: bias is [5] for 4 channels"],
  [
    "linear's residual",
    ({ t }) => ops.linear(t(2, 3), t(4, 3), { residual: t(2, 3) }),
    "linear: residual is not of the result's shape: [2, 3] and [2, 4]",
  ],
  [
    "linearAppend",
    ({ t }) => ops.linearAppend(t(1, 2, 8), t(4, 12), t(1, 3, 4)),
    "linearAppend: inner sizes differ: [1, 2, 8] and [4, 12]",
  ],
  [
    "linearAppend's weight",
    ({ t }) => ops.linearAppend(t(1, 2, 8), t(4, 8, 1, 1), t(1, 3, 4)),
    "linearAppend: inner sizes differ: [1, 2, 8] and [4, 8, 1, 1]",
  ],
  [
    "linearAppend's bias",
    ({ t }) => ops.linearAppend(t(1, 2, 8), t(4, 8), t(1, 3, 4), { bias: t(8) }),
    "linearAppend: bias is [8] for 4 channels",
  ],
  [
    "linearAppend's tokens",
    ({ t }) => ops.linearAppend(t(1, 2, 8), t(4, 8), t(2, 3, 4)),
    "linearAppend: tokens do not fit behind those of x · Wᵀ: [2, 3, 4] and [1, 2, 4]",
  ],
  ["matmul", ({ t }) => ops.matmul(t(2, 3), t(4, 5)), "matmul: inner sizes differ: [2, 3] and [4, 5]"],
  [
    "matmul's batches",
    ({ t }) => ops.matmul(t(2, 2, 3), t(3, 3, 5)),
    "matmul: batches differ: [2, 2, 3] and [3, 3, 5]",
  ],
  ["matmul's rank", ({ t }) => ops.matmul(t(3), t(3, 5)), "matmul: [3] is not [batch?, rows, columns]"],
  [
    "conv2d",
    ({ t }) => ops.conv2d(t(1, 4, 4, 3), t(8, 4, 3, 3)),
    "conv2d: x has 3 channels, weight takes 4: [1, 4, 4, 3] and [8, 4, 3, 3]",
  ],
  [
    "conv2d's map",
    ({ t }) => ops.conv2d(t(1, 2, 2, 3), t(8, 3, 3, 3)),
    "conv2d: the kernel is larger than the padded input: [1, 2, 2, 3] and [8, 3, 3, 3]",
  ],
  [
    "conv2d's rank",
    ({ t }) => ops.conv2d(t(4, 4, 3), t(8, 3, 3, 3)),
    "conv2d: x must be [n, h, w, channels], got [4, 4, 3]",
  ],
  [
    "conv2d's weight",
    ({ t }) => ops.conv2d(t(1, 4, 4, 3), t(8, 3)),
    "conv2d: weight must be [out, in, kh, kw], got [8, 3]",
  ],
  [
    "conv2d's shift",
    ({ t }) => ops.conv2d(t(3, 4, 4, 3), t(8, 3, 3, 3), { shift: t(2, 8) }),
    "conv2d: shift is [2, 8], [3 or 1, 8] is needed",
  ],
  [
    "groupNorm",
    ({ t }) => ops.groupNorm(t(1, 2, 10), 3, { weight: t(10), bias: t(10) }),
    "groupNorm: 10 channels do not divide into 3 groups",
  ],
  [
    "groupNorm's weight",
    ({ t }) => ops.groupNorm(t(1, 2, 8), 2, { weight: t(10), bias: t(8) }),
    "groupNorm: weight is [10] for 8 channels",
  ],
  [
    "layerNorm",
    ({ t }) => ops.layerNorm(t(2, 10), { weight: t(10), bias: t(10) }),
    "layerNorm: 10 channels of [2, 10]: a multiple of 4 is needed",
  ],
  ["geglu", ({ t }) => ops.geglu(t(2, 6)), "geglu: x is [2, 6]: twice a multiple of 4 channels is needed"],
  [
    "attention's keys and values",
    ({ t }) => ops.scaledDotProductAttention(t(1, 2, 8), t(1, 2, 8), t(1, 3, 8), { heads: 1 }),
    "scaledDotProductAttention: k and v differ: [1, 2, 8] and [1, 3, 8]",
  ],
  [
    "attention's batches",
    ({ t }) => ops.scaledDotProductAttention(t(1, 2, 8), t(3, 2, 8), t(3, 2, 8), { heads: 1 }),
    "scaledDotProductAttention: keys or values do not fit the queries: [3, 2, 8] and [1, 2, 8]",
  ],
  [
    "attention's heads",
    ({ t }) => ops.scaledDotProductAttention(t(1, 2, 8), t(1, 2, 8), t(1, 2, 8), undefined as never),
    "scaledDotProductAttention: 8 channels in undefined heads",
  ],
  ...[-1, 0, 0.5, NaN].map((heads): Refusal => [
    `attention in ${heads} heads`,
    ({ t }) => ops.scaledDotProductAttention(t(1, 2, 8), t(1, 2, 8), t(1, 2, 8), { heads }),
    `scaledDotProductAttention: 8 channels in ${heads} heads: a whole number of heads is needed`,
  ]),
  ["softmax", ({ t }) => ops.softmax(t(2, 4), 0), "softmax: dimension 0 of [2, 4]: only the last is possible"],
  ["add", ({ t }) => ops.add(t(2, 3), t(2, 4)), "add: shapes do not broadcast: [2, 3] and [2, 4]"],
  ["weightedSum", () => ops.weightedSum([]), "weightedSum: 0 terms, 1 to 6 are possible"],
  [
    "weightedSum's terms",
    ({ t }) =>
      ops.weightedSum([
        [1, t(2)],
        [1, t(3)],
      ]),
    "weightedSum: terms differ: [2] and [3]",
  ],
  ["interpolate", ({ t }) => ops.interpolate(t(1, 2, 2, 3), {}), "interpolate: give either size or scaleFactor"],
  [
    "interpolate to nothing",
    ({ t }) => ops.interpolate(t(1, 2, 2, 3), { scaleFactor: 0.1 }),
    "interpolate: [1, 2, 2, 3] to [0, 0]",
  ],
  [
    "maxPool2d",
    ({ t }) => ops.maxPool2d(t(1, 2, 2, 3), { kernelSize: 3 }),
    "maxPool2d: kernel [3, 3] with padding [0, 0] on [1, 2, 2, 3]",
  ],
  ["embedding", ({ t, i }) => ops.embedding(i(2), t(3)), "embedding: weight must be [rows, channels], got [3]"],
  ["concat of nothing", () => ops.concat([], 0), "concat: no tensors"],
  [
    "concat",
    ({ t }) => ops.concat([t(2, 3), t(2, 4)], 0),
    "concat: shapes differ beside dimension 0: [2, 3] and [2, 4]",
  ],
  ["concat's dimension", ({ t }) => ops.concat([t(2, 3)], 2), "concat: dimension 2 of a tensor with 2"],
  ["slice", ({ t }) => ops.slice(t(2, 3), 1, 2, 2), "slice: 2 to 2 of dimension 1 of [2, 3]"],
  ["slice past the end", ({ t }) => ops.slice(t(2, 3), 1, 0, 4), "slice: 0 to 4 of dimension 1 of [2, 3]"],
  ["permute", ({ t }) => ops.permute(t(2, 3), [0, 0]), "permute: [0, 0] is no order of the dimensions of [2, 3]"],
  ["repeat", ({ t }) => ops.repeat(t(2), 0), "repeat: 0 times"],
  ["repeat of a number", ({ t }) => ops.repeat(t(), 2), "repeat: a single number [] has no batch"],
  ["timestepEmbedding", ({ gpu }) => ops.timestepEmbedding(gpu, [1], 3), "timestepEmbedding: dim 3 is odd"],
  [
    "packWeight twice",
    ({ t }) => ops.packWeight(ops.packWeight(t(4, 4))),
    "packWeight: weight [4, 4] is packed already",
  ],
  ["stride 0", ({ t }) => ops.conv2d(t(1, 4, 4, 3), t(8, 3, 3, 3), { stride: 0 }), "conv2d: stride 0"],
  ["half a stride", ({ t }) => ops.conv2d(t(1, 4, 4, 3), t(8, 3, 3, 3), { stride: [2, 1.5] }), "conv2d: stride 2, 1.5"],
  [
    "half a padding",
    ({ t }) => ops.conv2d(t(1, 4, 4, 3), t(8, 3, 3, 3), { padding: [1, 0.5] }),
    "conv2d: padding 1, 1, 0.5, 0.5",
  ],
  [
    "pooling with stride 0",
    ({ t }) => ops.maxPool2d(t(1, 4, 4, 3), { kernelSize: 2, stride: 0 }),
    "maxPool2d: kernel [2, 2], stride [0, 0], padding [0, 0]",
  ],
  [
    "pooling with half a kernel",
    ({ t }) => ops.avgPool2d(t(1, 4, 4, 3), { kernelSize: 2.5, stride: 1 }),
    "avgPool2d: kernel [2.5, 2.5], stride [1, 1], padding [0, 0]",
  ],
  [
    "a negative size",
    ({ gpu }) => Tensor.zeros(gpu, [2, -1]),
    "Tensor.zeros: sizes must be whole and not negative, got [2, -1]",
  ],
  [
    "half a size",
    ({ gpu }) => Tensor.empty(gpu, [2.5]),
    "Tensor.empty: sizes must be whole and not negative, got [2.5]",
  ],
  ["reshape", ({ t }) => t(2, 3).reshape(4, -1), "reshape: [2, 3] does not fill [4, -1]"],
  ["Tensor.from", ({ gpu }) => Tensor.from(gpu, [1, 2], [3]), "Tensor.from: 2 numbers for shape [3]"],
  [
    "a disposed tensor",
    ({ t }) => {
      const x = t(2);
      x.dispose();
      return ops.relu(x);
    },
    "tensor: [2] was used after dispose()",
  ],
];

const TYPES: readonly Refusal[] = [
  ["linear", ({ t, h }) => ops.linear(t(2, 3), h(4, 3)), "linear: x is f32 and weight is f16"],
  ["linear's bias", ({ t, h }) => ops.linear(t(2, 3), t(4, 3), { bias: h(4) }), "linear: bias is f16, f32 is needed"],
  [
    "linearAppend",
    ({ t, h }) => ops.linearAppend(t(1, 2, 8), h(4, 8), t(1, 3, 4)),
    "linearAppend: x is f32 and weight is f16",
  ],
  ["numbers of i32", ({ i }) => ops.linear(i(2, 3), i(4, 3)), "linear: x is i32, floating point is needed"],
  [
    "layerNorm",
    ({ t, h }) => ops.layerNorm(t(2, 8), { weight: t(8), bias: h(8) }),
    "layerNorm: bias is f16, f32 is needed",
  ],
  [
    "attention",
    ({ t, h }) => ops.scaledDotProductAttention(t(1, 2, 8), h(1, 2, 8), h(1, 2, 8), { heads: 1 }),
    "scaledDotProductAttention: q is f32 and keys or values are f16",
  ],
  ["add", ({ t, h }) => ops.add(t(2, 3), h(2, 3)), "add: a is f32 and b is f16"],
  ["concat", ({ t, h }) => ops.concat([t(2, 3), h(2, 3)], 0), "concat: f32 and f16"],
  ["embedding", ({ t }) => ops.embedding(t(2), t(3, 4)), "embedding: ids are f32, i32 is needed"],
  ["cast", ({ t }) => ops.cast(t(2), "i32"), "cast: f32 to i32"],
  ...[1.5, NaN, 3e10, -Infinity].map((odd): Refusal => [
    `${odd} as i32`,
    ({ gpu }) => Tensor.from(gpu, [-0, odd, 2], [3], "i32"),
    `Tensor.from: element 1 is ${odd}, which is no i32`,
  ]),
];

const devicesFor = await devices();

/** Every op that takes data, on operand `x` [2, 4] or the like, made by `make`. */
type Use = (make: (...shape: number[]) => Tensor, m: Make) => unknown;

const USES: Readonly<Record<string, Use>> = {
  linear: (x, { t }) => ops.linear(x(2, 4), t(8, 4)),
  "linear's residual": (x, { t }) => ops.linear(t(2, 4), t(8, 4), { residual: x(2, 8) }),
  matmul: (x, { t }) => ops.matmul(x(2, 4), t(4, 8)),
  "matmul's right side": (x, { t }) => ops.matmul(t(2, 4), x(4, 8)),
  conv2d: (x, { t }) => ops.conv2d(x(1, 4, 4, 4), t(8, 4, 3, 3)),
  "conv2d's shift": (x, { t }) => ops.conv2d(t(1, 4, 4, 4), t(8, 4, 3, 3), { shift: x(1, 8) }),
  groupNorm: (x, { t }) => ops.groupNorm(x(1, 4, 8), 2, { weight: t(8), bias: t(8) }),
  layerNorm: (x, { t }) => ops.layerNorm(x(4, 8), { weight: t(8), bias: t(8) }),
  softmax: (x) => ops.softmax(x(2, 4)),
  geglu: (x) => ops.geglu(x(2, 8)),
  relu: (x) => ops.relu(x(2, 4)),
  add: (x, { t }) => ops.add(x(2, 4), t(4)),
  "add's right side": (x, { t }) => ops.add(t(4), x(2, 4)),
  mul: (x) => ops.mul(x(2, 4), 2),
  clamp: (x) => ops.clamp(x(2, 4), 0, 1),
  weightedSum: (x, { t }) =>
    ops.weightedSum([
      [1, t(2, 4)],
      [1, x(2, 4)],
    ]),
  attention: (x, { t }) => ops.scaledDotProductAttention(x(1, 2, 8), t(1, 3, 8), t(1, 3, 8), { heads: 1 }),
  "attention's keys": (x, { t }) => ops.scaledDotProductAttention(t(1, 2, 8), x(1, 3, 8), t(1, 3, 8), { heads: 1 }),
  interpolate: (x) => ops.interpolate(x(1, 2, 2, 4), { scaleFactor: 2 }),
  maxPool2d: (x) => ops.maxPool2d(x(1, 2, 2, 4), { kernelSize: 2 }),
  embedding: (x, { i }) => ops.embedding(i(3), x(2, 4)),
  concat: (x, { t }) => ops.concat([t(2, 4), x(2, 4)], 0),
  slice: (x) => ops.slice(x(2, 4), 1, 0, 2),
  permute: (x) => ops.permute(x(2, 4), [1, 0]),
  repeat: (x) => ops.repeat(x(2, 4), 2),
  cast: (x) => ops.cast(x(2, 4), "f16"),
};

let gpu: Device;
let make: Make;
beforeAll(async () => {
  gpu = await requestDevice({ guard: 256 });
  const zeros =
    (dtype: "f32" | "f16" | "i32") =>
    (...shape: number[]) =>
      Tensor.zeros(gpu, shape, dtype);
  make = { gpu, t: zeros("f32"), h: zeros("f16"), i: zeros("i32") };
});
afterAll(() => gpu.destroy());

describe.each([
  { kind: "shapes", refusals: SHAPES, type: ShapeError },
  { kind: "types", refusals: TYPES, type: DTypeError },
])("$kind that do not fit", ({ refusals, type }) => {
  test.for(refusals)("%s", ([, act, message]) => {
    const attempt = () => gpu.scope(() => void act(make));
    expect(attempt).toThrow(type);
    expect(attempt).toThrow(message);
    expect(gpu.memory.live).toBe(0);
  });
});

// Empty tensors exist, as checkpoints hold them, but nothing computes with them; packed weights have an order of their own.
test.for(Object.keys(USES))("%s of a packed weight or of nothing is refused", (name) => {
  const packed = (...shape: number[]) => ops.packWeight(make.t(...shape));
  const empty = (...shape: number[]) => make.t(0, ...shape.slice(1));
  const attempt = (x: (...shape: number[]) => Tensor) => () => gpu.scope(() => void USES[name]!(x, make));
  expect(attempt(packed)).toThrow(/^\w+: a packed weight \[[\d, ]+\] is no data: only linear and conv2d read it$/);
  expect(attempt(empty)).toThrow(/^\w+: a size of 0 in \[0, [\d, ]+\]$/);
  expect(gpu.memory.live).toBe(0);
});

// The pipeline finds NaNs where they end up, so an op between must pass them on.
const { relu, silu, gelu, geluTanh, quickGelu, tanh, sigmoid, exp } = ops;
const NAN_CASES: Readonly<Record<string, (i: Inputs) => Tensor>> = {
  ...ODD,
  ...Object.fromEntries(
    Object.entries({ relu, silu, gelu, geluTanh, quickGelu, tanh, sigmoid, exp }).map(([name, op]) => [
      name,
      ({ tensor }: Inputs) => op(tensor(1, [7])),
    ]),
  ),
  "linear, relu": ({ tensor }: Inputs) => ops.linear(tensor(1, [3, 4]), tensor(2, [4, 4]), { activation: "relu" }),
};

test.for(
  devicesFor.flatMap((device) =>
    Object.keys(NAN_CASES)
      .filter((name) => name !== "timestepEmbedding")
      .map((name) => [device.name, name, device] as const),
  ),
)("%s: %s passes NaNs on", async ([, name, { gpu }]) => {
  const inputs = inputsFor(gpu, "f32");
  const tensor = (seed: number, shape: readonly number[]) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5);
    if (seed === 1) values[Math.floor(values.length / 2)] = NaN;
    return Tensor.from(gpu, values, shape);
  };
  const y = gpu.scope(() => NAN_CASES[name]!({ ...inputs, tensor }));
  const values = await y.data().finally(() => y.dispose());
  expect(values.some(Number.isNaN)).toBe(true);
});
