import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { requestDevice } from "../../src/node/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { uploadWeight } from "../../src/tensor/upload.ts";
import { normal } from "../helpers.ts";

// Tensors several times larger than a binding, and more workgroups than one dimension takes, give the same bits as a
// device that holds them whole.

const LIMIT = 16_384; // bytes

describe("beyond a device's limits", () => {
  let whole: Device;
  let small: Device;
  beforeAll(async () => {
    whole = await requestDevice();
    small = await requestDevice({
      guard: 256,
      fakeLimits: {
        maxStorageBufferBindingSize: LIMIT,
        minStorageBufferOffsetAlignment: 256,
        maxComputeWorkgroupsPerDimension: 20,
      },
    });
  });
  afterAll(() => {
    whole.destroy();
    small.destroy();
  });

  const tensor = (gpu: Device, seed: number, shape: readonly number[]) =>
    Tensor.from(
      gpu,
      normal(
        seed,
        shape.reduce((a, b) => a * b, 1),
      ),
      shape,
    );

  const CASES: Record<string, (gpu: Device) => Tensor> = {
    "conv2d with a halo": (gpu) =>
      ops.conv2d(tensor(gpu, 1, [2, 37, 19, 12]), tensor(gpu, 2, [8, 12, 3, 3]), {
        bias: tensor(gpu, 3, [8]),
        padding: 1,
        residual: tensor(gpu, 4, [2, 37, 19, 8]),
        shift: tensor(gpu, 5, [2, 8]),
      }),
    "conv2d with stride and odd channels": (gpu) =>
      ops.conv2d(tensor(gpu, 1, [1, 61, 23, 9]), tensor(gpu, 2, [5, 9, 3, 3]), {
        stride: 2,
        padding: { top: 0, left: 0, bottom: 1, right: 1 },
      }),
    "conv2d 1x1": (gpu) =>
      ops.conv2d(tensor(gpu, 1, [1, 41, 31, 8]), ops.packWeight(tensor(gpu, 2, [12, 8, 1, 1])), {
        residual: tensor(gpu, 4, [1, 41, 31, 12]),
      }),
    linear: (gpu) =>
      ops.linear(tensor(gpu, 1, [777, 20]), tensor(gpu, 2, [12, 20]), {
        activation: "gelu",
        residual: tensor(gpu, 4, [777, 12]),
      }),
    "groupNorm over whole maps": (gpu) =>
      ops.groupNorm(tensor(gpu, 1, [1, 53, 29, 8]), 2, {
        weight: tensor(gpu, 2, [8]),
        bias: tensor(gpu, 3, [8]),
        activation: "silu",
      }),
    layerNorm: (gpu) =>
      ops.layerNorm(tensor(gpu, 1, [311, 36]), { weight: tensor(gpu, 2, [36]), bias: tensor(gpu, 3, [36]) }),
    softmax: (gpu) => ops.softmax(tensor(gpu, 1, [311, 36])),
    geglu: (gpu) => ops.geglu(tensor(gpu, 1, [311, 40])),
    gelu: (gpu) => ops.gelu(tensor(gpu, 1, [12_345])),
    "add of equal shapes": (gpu) => ops.add(tensor(gpu, 1, [5, 2469]), tensor(gpu, 2, [5, 2469])),
    "mul by a vector": (gpu) => ops.mul(tensor(gpu, 1, [999, 12]), tensor(gpu, 2, [12])),
    weightedSum: (gpu) =>
      ops.weightedSum([
        [2, tensor(gpu, 1, [12_345])],
        [-1, tensor(gpu, 2, [12_345])],
      ]),
    "nearest resizing": (gpu) => ops.interpolate(tensor(gpu, 1, [2, 17, 13, 20]), { scaleFactor: 2 }),
    "bilinear resizing": (gpu) =>
      ops.interpolate(tensor(gpu, 1, [1, 33, 17, 12]), { size: [41, 59], mode: "bilinear" }),
    concat: (gpu) => ops.concat([tensor(gpu, 1, [3, 200, 8]), tensor(gpu, 2, [3, 100, 8])], 1),
    "concat along channels": (gpu) => ops.concat([tensor(gpu, 1, [900, 8]), tensor(gpu, 2, [900, 12])], 1),
    permute: (gpu) => ops.permute(tensor(gpu, 1, [2, 21, 33, 9]), [0, 3, 1, 2]),
    slice: (gpu) => ops.slice(tensor(gpu, 1, [4, 40, 60]), 1, 3, 37),
    repeat: (gpu) => ops.repeat(tensor(gpu, 1, [1, 3001]), 4),
    embedding: (gpu) => ops.embedding(Tensor.from(gpu, Int32Array.of(0, 499, 250, 77), [4]), tensor(gpu, 1, [500, 24])),
    "attention of batches": (gpu) =>
      ops.scaledDotProductAttention(
        tensor(gpu, 1, [5, 60, 16]),
        tensor(gpu, 2, [5, 70, 16]),
        tensor(gpu, 3, [5, 70, 16]),
        { heads: 2 },
      ),
    "a table's upload": (gpu) => {
      const values = normal(1, 900 * 12);
      return uploadWeight(gpu, new Uint8Array(values.buffer), {
        source: "F32",
        shape: [900, 12],
        kind: "table",
        dtype: "f32",
      });
    },
  };

  test.for(Object.keys(CASES))("%s", async (name) => {
    const read = async (gpu: Device) => {
      const y = gpu.scope(() => CASES[name]!(gpu));
      return y.data().finally(() => y.dispose());
    };
    const [expected, actual] = [await read(whole), await read(small)];
    await small.checkGuards();
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0);
    expect(actual).toEqual(expected);
    expect([whole.memory.live, small.memory.live]).toEqual([0, 0]);
  });

  test("what cannot be split names the binding and both sizes", () => {
    const [x, w] = [tensor(small, 1, [1, 4, 4, 64]), tensor(small, 2, [128, 64, 1, 1])];
    expect(() => ops.conv2d(x, w, {})).toThrow(/needs a binding of \d+ bytes, the device binds at most 16384/);
    x.dispose();
    w.dispose();
  });

  test("more than 65,535 workgroups, really", async () => {
    const count = 65_535 * 64 * 4 + 1_001; // one workgroup of unary takes 256 elements
    const x = Tensor.zeros(whole, [count]);
    const y = whole.scope(() => ops.exp(x));
    const tail = whole.scope(() => ops.slice(y, 0, count - 1_001, count));
    expect(new Set(await tail.data())).toEqual(new Set([1]));
    for (const t of [x, y, tail]) t.dispose();
  });
});
