import type { Device } from "../../src/gpu/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { numbers } from "./harness.ts";

/** What a case builds its inputs with. */
export interface Inputs {
  readonly gpu: Device;
  /** Seeded normal numbers in the case's storage type. */
  tensor(seed: number, shape: readonly number[]): Tensor;
  /** The same in float32: biases and the weights of norms. */
  vector(seed: number, count: number): Tensor;
  ids(shape: readonly number[], below: number): Tensor;
}

const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

export function inputsFor(gpu: Device, elem: "f32" | "f16"): Inputs {
  return {
    gpu,
    tensor: (seed, shape) => Tensor.from(gpu, numbers(elem, seed, count(shape)), shape, elem),
    vector: (seed, size) => Tensor.from(gpu, numbers("f32", seed, size), [size]),
    ids: (shape, below) =>
      Tensor.from(
        gpu,
        Int32Array.from({ length: count(shape) }, (_, i) => (i * 37) % below),
        shape,
      ),
  };
}

/** The gradients of a call in everything it made by `tensor` and `vector`, for a seeded gradient of its result. */
export function gradientsOf(gpu: Device, elem: "f32" | "f16", call: (i: Inputs) => Tensor): Tensor[] {
  return gpu.scope(() => {
    const inputs = inputsFor(gpu, elem);
    const tape = new Tape(gpu);
    const targets: Tensor[] = [];
    const watched = (made: Tensor) => {
      tape.watch([made]);
      targets.push(made);
      return made;
    };
    try {
      const y = tape.run(() =>
        call({
          ...inputs,
          tensor: (...of) => watched(inputs.tensor(...of)),
          vector: (...of) => watched(inputs.vector(...of)),
        }),
      );
      const g = Tensor.from(gpu, numbers(y.dtype as "f32", 99, y.size), y.shape, y.dtype);
      return tape.backward(y, targets, g).filter((found) => found !== undefined);
    } finally {
      tape.dispose();
    }
  });
}

/**
 * Every op at sizes that divide neither vectors nor tiles: for tests that ask whether something other than the
 * numbers changes a result (what memory held before, the plan of another device, an earlier run).
 */
export const ODD: Readonly<Record<string, (i: Inputs) => Tensor>> = {
  linear: ({ tensor, vector }) =>
    ops.linear(tensor(1, [2, 5, 7]), tensor(2, [9, 7]), { bias: vector(3, 9), activation: "silu" }),
  "linear, odd outputs and a residual": ({ tensor }) =>
    ops.linear(tensor(1, [19, 37]), tensor(2, [21, 37]), { residual: tensor(3, [19, 21]) }),
  "linear, rows of weights as they lie": ({ tensor, vector }) =>
    ops.linear(tensor(1, [33, 12]), tensor(2, [20, 12]), {
      bias: vector(3, 20),
      activation: "gelu",
      residual: tensor(4, [33, 20]),
    }),
  "linear, packed": ({ tensor }) => ops.linear(tensor(1, [17, 13]), ops.packWeight(tensor(2, [36, 13]))),
  matmul: ({ tensor }) => ops.matmul(tensor(1, [3, 5, 7]), tensor(2, [3, 7, 9])),
  "matmul, transposed": ({ tensor }) =>
    ops.matmul(tensor(1, [3, 5, 7]), tensor(2, [3, 9, 7]), { transposeB: true, residual: tensor(3, [3, 5, 9]) }),
  "conv2d 3x3": ({ tensor, vector }) =>
    ops.conv2d(tensor(1, [2, 7, 9, 5]), tensor(2, [9, 5, 3, 3]), {
      bias: vector(3, 9),
      padding: 1,
      shift: tensor(4, [2, 9]),
      activation: "silu",
      residual: tensor(5, [2, 7, 9, 9]),
    }),
  "conv2d 3x3, stride 2": ({ tensor }) =>
    ops.conv2d(tensor(1, [1, 17, 13, 3]), tensor(2, [12, 3, 3, 3]), {
      stride: 2,
      padding: { top: 0, bottom: 1, left: 0, right: 1 },
    }),
  "conv2d 1x1": ({ tensor }) => ops.conv2d(tensor(1, [2, 3, 5, 8]), tensor(2, [20, 8, 1, 1])),
  "conv2d patches": ({ tensor }) => ops.conv2d(tensor(1, [1, 28, 42, 3]), tensor(2, [5, 3, 14, 14]), { stride: 14 }),
  groupNorm: ({ tensor, vector }) =>
    ops.groupNorm(tensor(1, [3, 7, 9, 36]), 4, { weight: vector(2, 36), bias: vector(3, 36) }),
  "groupNorm, SiLU": ({ tensor, vector }) =>
    ops.groupNorm(tensor(1, [1, 17, 13, 20]), 4, { weight: vector(2, 20), bias: vector(3, 20), activation: "silu" }),
  layerNorm: ({ tensor, vector }) =>
    ops.layerNorm(tensor(1, [7, 3, 36]), { weight: vector(2, 36), bias: vector(3, 36) }),
  softmax: ({ tensor }) => ops.softmax(tensor(1, [7, 33])),
  attention: ({ tensor }) =>
    ops.scaledDotProductAttention(tensor(1, [2, 19, 24]), tensor(2, [2, 71, 24]), tensor(3, [2, 71, 24]), { heads: 3 }),
  "attention, causal": ({ tensor }) =>
    ops.scaledDotProductAttention(tensor(1, [1, 33, 40]), tensor(2, [1, 33, 40]), tensor(3, [1, 33, 40]), {
      heads: 1,
      isCausal: true,
    }),
  "attention, two runs of keys": ({ tensor }) =>
    ops.scaledDotProductAttention(tensor(1, [4, 7, 16]), tensor(2, [4, 5, 16]), tensor(3, [4, 5, 16]), {
      heads: 2,
      more: { k: tensor(4, [2, 9, 16]), v: tensor(5, [2, 9, 16]) },
    }),
  "attention, one wide head": ({ tensor }) =>
    ops.scaledDotProductAttention(tensor(1, [2, 7, 164]), tensor(2, [2, 7, 164]), tensor(3, [2, 7, 164]), { heads: 1 }),
  geglu: ({ tensor }) => ops.geglu(tensor(1, [5, 24])),
  activations: ({ tensor }) =>
    ops.weightedSum(
      [ops.relu, ops.silu, ops.gelu, ops.geluTanh, ops.quickGelu, ops.tanh].map((op, i) => [
        i + 1,
        op(tensor(i, [127])),
      ]),
    ),
  "sigmoid of exp": ({ tensor }) => ops.sigmoid(ops.exp(tensor(1, [5, 13]))),
  "add, mul, sub, div of broadcasts": ({ tensor }) => {
    const x = ops.mul(ops.add(tensor(1, [2, 3, 5]), tensor(2, [5])), tensor(3, [3, 1]));
    return ops.div(ops.sub(x, 0.5), ops.add(ops.mul(tensor(4, [2, 1, 5]), 0.01), 3));
  },
  "arithmetic of equal shapes": ({ tensor }) => ops.sub(ops.mul(tensor(1, [13]), tensor(2, [13])), tensor(3, [13])),
  clamp: ({ tensor }) => ops.clamp(tensor(1, [3, 7]), -0.5, 0.5),
  "nearest resizing": ({ tensor }) => ops.interpolate(tensor(1, [2, 3, 5, 9]), { size: [7, 4] }),
  "bilinear resizing": ({ tensor }) =>
    ops.interpolate(tensor(1, [2, 3, 5, 8]), { size: [7, 11], mode: "bilinear", alignCorners: true }),
  maxPool2d: ({ tensor }) => ops.maxPool2d(tensor(1, [2, 7, 9, 5]), { kernelSize: 3, stride: 2, padding: 1 }),
  avgPool2d: ({ tensor }) => ops.avgPool2d(tensor(1, [2, 7, 9, 4]), { kernelSize: 3, stride: 2, padding: 1 }),
  embedding: ({ tensor, ids }) => ops.embedding(ids([3, 5], 11), tensor(1, [11, 9])),
  concat: ({ tensor }) => ops.concat([tensor(1, [3, 5, 7]), tensor(2, [3, 2, 7]), tensor(3, [3, 1, 7])], 1),
  "concat along channels": ({ tensor }) => ops.concat([tensor(1, [5, 9]), tensor(2, [5, 4]), tensor(3, [5, 1])], 1),
  slice: ({ tensor }) => ops.slice(tensor(1, [5, 13, 3]), 1, 3, 10),
  permute: ({ tensor }) => ops.permute(tensor(1, [3, 5, 7, 2]), [2, 0, 3, 1]),
  repeat: ({ tensor }) => ops.repeat(tensor(1, [1, 13]), 3),
  "mean squared difference": ({ tensor }) => ops.mseLoss(tensor(1, [3, 71]), tensor(2, [3, 71])),
  "sum over the middle": ({ tensor }) => ops.sum(tensor(1, [3, 71, 5]), { dims: [1] }),
  cast: ({ tensor, gpu }) => ops.cast(gpu.facts.f16 ? ops.cast(tensor(1, [37]), "f16") : tensor(1, [37]), "f32"),
  timestepEmbedding: ({ gpu }) => ops.timestepEmbedding(gpu, [0, 999, 1.5], 10),
};
