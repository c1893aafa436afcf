import * as ops from "../../src/tensor/ops.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { Inputs } from "./cases.ts";

/** What one binding holds on the device that the cases are for, in bytes. */
export const BINDING = 16_384;

/** Calls whose operands or results take several bindings of `BINDING` bytes, in float16 too. */
export const LARGE: Readonly<Record<string, (i: Inputs) => Tensor>> = {
  "conv2d with a halo": ({ tensor, vector }) =>
    ops.conv2d(tensor(1, [2, 57, 19, 12]), tensor(2, [8, 12, 3, 3]), {
      bias: vector(3, 8),
      padding: 1,
      residual: tensor(4, [2, 57, 19, 8]),
      shift: tensor(5, [2, 8]),
    }),
  "conv2d with stride and odd channels": ({ tensor }) =>
    ops.conv2d(tensor(1, [1, 81, 23, 9]), tensor(2, [5, 9, 3, 3]), {
      stride: 2,
      padding: { top: 0, left: 0, bottom: 1, right: 1 },
    }),
  "conv2d 1x1": ({ tensor }) =>
    ops.conv2d(tensor(1, [1, 81, 31, 8]), ops.packWeight(tensor(2, [12, 8, 1, 1])), {
      residual: tensor(4, [1, 81, 31, 12]),
    }),
  "conv2d 1x1 with stride": ({ tensor }) =>
    ops.conv2d(tensor(1, [2, 81, 31, 8]), tensor(2, [12, 8, 1, 1]), { stride: 2 }),
  "conv2d of patches": ({ tensor }) => ops.conv2d(tensor(1, [3, 56, 42, 3]), tensor(2, [4, 3, 14, 14]), { stride: 14 }),
  "conv2d whose first and last bands lie on padding": ({ tensor }) =>
    ops.conv2d(tensor(1, [1, 40, 60, 8]), tensor(2, [12, 8, 3, 3]), { padding: [19, 2] }),
  "conv2d with a shared shift": ({ tensor }) =>
    ops.conv2d(tensor(1, [3, 47, 19, 12]), tensor(2, [7, 12, 3, 3]), {
      padding: 1,
      shift: tensor(5, [1, 7]),
      activation: "silu",
      residual: tensor(4, [3, 47, 19, 7]),
    }),
  linear: ({ tensor }) =>
    ops.linear(tensor(1, [977, 20]), tensor(2, [12, 20]), { activation: "gelu", residual: tensor(4, [977, 12]) }),
  "linear with odd sizes": ({ tensor, vector }) =>
    ops.linear(tensor(1, [3, 477, 21]), tensor(2, [13, 21]), {
      bias: vector(3, 13),
      residual: tensor(4, [3, 477, 13]),
    }),
  "groupNorm over whole maps": ({ tensor, vector }) =>
    ops.groupNorm(tensor(1, [1, 93, 29, 8]), 2, { weight: vector(2, 8), bias: vector(3, 8), activation: "silu" }),
  "groupNorm of several images": ({ tensor, vector }) =>
    ops.groupNorm(tensor(1, [2, 23, 29, 12]), 3, { weight: vector(2, 12), bias: vector(3, 12) }),
  layerNorm: ({ tensor, vector }) =>
    ops.layerNorm(tensor(1, [511, 36]), { weight: vector(2, 36), bias: vector(3, 36) }),
  softmax: ({ tensor }) => ops.softmax(tensor(1, [511, 36])),
  "softmax of odd rows": ({ tensor }) => ops.softmax(tensor(1, [511, 37])),
  geglu: ({ tensor }) => ops.geglu(tensor(1, [511, 40])),
  gelu: ({ tensor }) => ops.gelu(tensor(1, [22_345])),
  "a number's product": ({ tensor }) => ops.mul(tensor(1, [22_345]), 3),
  clamp: ({ tensor }) => ops.clamp(tensor(1, [22_345]), -1, 1),
  "add of equal shapes": ({ tensor }) => ops.add(tensor(1, [5, 4469]), tensor(2, [5, 4469])),
  "mul by a vector": ({ tensor }) => ops.mul(tensor(1, [1999, 12]), tensor(2, [12])),
  "sub from a vector": ({ tensor }) => ops.sub(tensor(2, [12]), tensor(1, [1999, 12])),
  "mul by image and channel": ({ tensor }) => ops.mul(tensor(1, [2, 8, 25, 45]), tensor(2, [2, 8, 1, 1])),
  "add of a column and a row": ({ tensor }) => ops.add(tensor(1, [199, 1]), tensor(2, [101])),
  weightedSum: ({ tensor }) =>
    ops.weightedSum([
      [2, tensor(1, [22_345])],
      [-1, tensor(2, [22_345])],
    ]),
  "nearest resizing": ({ tensor }) => ops.interpolate(tensor(1, [2, 17, 13, 20]), { scaleFactor: 2 }),
  "nearest resizing by 1.7": ({ tensor }) => ops.interpolate(tensor(1, [2, 61, 30, 5]), { scaleFactor: 1.7 }),
  "bilinear resizing": ({ tensor }) =>
    ops.interpolate(tensor(1, [1, 33, 17, 12]), { size: [81, 59], mode: "bilinear" }),
  "bilinear resizing of aligned corners": ({ tensor }) =>
    ops.interpolate(tensor(1, [2, 33, 17, 9]), { size: [70, 39], mode: "bilinear", alignCorners: true }),
  concat: ({ tensor }) => ops.concat([tensor(1, [3, 600, 8]), tensor(2, [3, 300, 8])], 1),
  "concat along channels": ({ tensor }) => ops.concat([tensor(1, [900, 8]), tensor(2, [900, 12])], 1),
  "concat along odd channels": ({ tensor }) =>
    ops.concat([tensor(1, [1300, 7]), tensor(2, [1300, 5]), tensor(3, [1300, 1])], 1),
  permute: ({ tensor }) => ops.permute(tensor(1, [2, 31, 33, 9]), [0, 3, 1, 2]),
  "permute of five": ({ tensor }) => ops.permute(tensor(1, [3, 5, 14, 9, 11]), [4, 2, 0, 3, 1]),
  slice: ({ tensor }) => ops.slice(tensor(1, [8, 40, 60]), 1, 3, 37),
  "slice of odd channels": ({ tensor }) => ops.slice(tensor(1, [1900, 13]), 1, 3, 10),
  repeat: ({ tensor }) => ops.repeat(tensor(1, [1, 7001]), 4),
  cast: ({ tensor }) => {
    const x = tensor(1, [22_345]);
    return ops.cast(x, x.dtype === "f32" && x.device.facts.f16 ? "f16" : "f32");
  },
  embedding: ({ tensor, ids }) => ops.embedding(ids([21], 1000), tensor(1, [1000, 24])),
  "attention of batches": ({ tensor }) =>
    ops.scaledDotProductAttention(tensor(1, [15, 80, 16]), tensor(2, [15, 90, 16]), tensor(3, [15, 90, 16]), {
      heads: 2,
    }),
  "attention of batches with shared keys": ({ tensor }) =>
    ops.scaledDotProductAttention(tensor(1, [15, 80, 16]), tensor(2, [1, 90, 16]), tensor(3, [1, 90, 16]), {
      heads: 2,
    }),
  "embedding of many ids": ({ tensor, ids }) => ops.embedding(ids([900], 50), tensor(1, [50, 24])),
  "embedding, ids beyond a binding": ({ tensor, ids }) => ops.embedding(ids([9000], 50), tensor(1, [50, 4])),
  "embedding, all beyond a binding": ({ tensor, ids }) => ops.embedding(ids([9000], 3000), tensor(1, [3000, 5])),
  "add of a suffix beyond a binding": ({ tensor }) => ops.add(tensor(1, [3, 20_000]), tensor(2, [20_000])),
  "sub from a suffix beyond a binding": ({ tensor }) => ops.sub(tensor(2, [20_000]), tensor(1, [3, 20_000])),
  "matmul of batches": ({ tensor, vector }) =>
    ops.matmul(tensor(1, [9, 40, 36]), tensor(2, [9, 36, 44]), {
      bias: vector(3, 44),
      residual: tensor(4, [9, 40, 44]),
    }),
  "matmul of batches that begin between bindings": ({ tensor }) =>
    ops.matmul(tensor(1, [9, 41, 35]), tensor(2, [9, 43, 35]), { transposeB: true, activation: "silu" }),
  "matmul of batches with a shared matrix": ({ tensor }) => ops.matmul(tensor(1, [9, 60, 36]), tensor(2, [36, 37])),
  "matmul of a shared matrix with batches": ({ tensor }) => ops.matmul(tensor(1, [60, 36]), tensor(2, [9, 36, 37])),
  "matmul of rows": ({ tensor }) => ops.matmul(tensor(1, [800, 36]), tensor(2, [36, 44])),
  "attention of many queries": ({ tensor }) =>
    ops.scaledDotProductAttention(tensor(1, [1, 900, 16]), tensor(2, [1, 70, 16]), tensor(3, [1, 70, 16]), {
      heads: 2,
    }),
  "attention of many queries in batches": ({ tensor }) =>
    ops.scaledDotProductAttention(tensor(1, [3, 1111, 12]), tensor(2, [3, 70, 12]), tensor(3, [3, 70, 12]), {
      heads: 3,
    }),
  "nearest resizing by 0.08": ({ tensor }) => ops.interpolate(tensor(1, [1, 409, 30, 4]), { scaleFactor: 0.08 }),
  "bilinear shrinking": ({ tensor }) =>
    ops.interpolate(tensor(1, [1, 400, 30, 4]), { size: [30, 40], mode: "bilinear" }),
  "nearest resizing of narrow maps": ({ tensor }) => ops.interpolate(tensor(1, [2, 180, 9, 8]), { scaleFactor: 2 }),
  "nearest resizing of narrow maps by 0.37": ({ tensor }) =>
    ops.interpolate(tensor(1, [2, 480, 9, 5]), { scaleFactor: 0.37 }),
  "bilinear resizing of narrow maps": ({ tensor }) =>
    ops.interpolate(tensor(1, [2, 200, 9, 8]), { size: [431, 11], mode: "bilinear" }),
  "bilinear resizing of narrow maps, aligned corners": ({ tensor }) =>
    ops.interpolate(tensor(1, [1, 500, 9, 8]), { size: [331, 11], mode: "bilinear", alignCorners: true }),
  maxPool2d: ({ tensor }) => ops.maxPool2d(tensor(1, [2, 121, 33, 5]), { kernelSize: 3, stride: 2, padding: 1 }),
  avgPool2d: ({ tensor }) => ops.avgPool2d(tensor(1, [1, 121, 33, 8]), { kernelSize: 5, stride: 1, padding: 2 }),
};
