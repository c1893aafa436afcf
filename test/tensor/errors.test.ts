import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { requestDevice } from "../../src/node/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { DTypeError, ShapeError } from "../../src/util/errors.ts";
import { inputsFor, ODD } from "./cases.ts";

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
  ["timestepEmbedding", ({ gpu }) => ops.timestepEmbedding(gpu, [1], 3), "timestepEmbedding: dim 3 is odd"],
  [
    "packWeight twice",
    ({ t }) => ops.packWeight(ops.packWeight(t(4, 4))),
    "packWeight: weight [4, 4] is packed already",
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
];

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

// The pipeline finds NaNs where they end up, so an op between must pass them on.
test.for(
  Object.keys(ODD).filter((name) => !["clamp", "maxPool2d", "sigmoid of exp", "timestepEmbedding"].includes(name)),
)("%s passes NaNs on", async (name) => {
  const inputs = inputsFor(gpu, "f32");
  const tensor = (seed: number, shape: readonly number[]) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5);
    if (seed === 1) values[Math.floor(values.length / 2)] = NaN;
    return Tensor.from(gpu, values, shape);
  };
  const y = gpu.scope(() => ODD[name]!({ ...inputs, tensor }));
  const values = await y.data().finally(() => y.dispose());
  expect(values.some(Number.isNaN)).toBe(true);
});
