import { beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { requestDevice } from "../../src/node/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { loadFixture, relErr } from "../helpers.ts";

// Values and gradients of PyTorch's operators. Its images are [n, c, h, w], ours [n, h, w, c].

const golden = loadFixture("ops.safetensors");

/** The inputs of one case on a device: as they lie, or moved from planes to pixels. Each exists once, in `made`. */
function inputsOf(device: Device, name: string, made = new Map<string, Tensor>()) {
  const tensor = (key: string) => {
    const { data, shape } = golden.get(`${name}.in.${key}`)!;
    if (!made.has(key)) made.set(key, Tensor.from(device, data, shape));
    return made.get(key)!;
  };
  return { tensor, image: (key: string) => ops.permute(tensor(key), [0, 2, 3, 1]) };
}

type Inputs = ReturnType<typeof inputsOf>;

const planes = (y: Tensor) => ops.permute(y, [0, 3, 1, 2]);

const conv =
  (options: Omit<ops.Conv2dOptions, "bias">, bias = true) =>
  ({ tensor, image }: Inputs) =>
    planes(ops.conv2d(image("x"), tensor("w"), { ...(bias && { bias: tensor("b") }), ...options }));

const norm = (groups: number, eps: number) => (i: Inputs) =>
  planes(ops.groupNorm(i.image("x"), groups, { weight: i.tensor("w"), bias: i.tensor("b"), eps }));

const attention =
  (isCausal = false) =>
  ({ tensor }: Inputs) => {
    const [n = 0, heads = 0, , d = 0] = tensor("q").shape;
    const tokens = (key: string) => {
      const x = tensor(key);
      return ops.permute(x, [0, 2, 1, 3]).reshape(n, x.shape[2]!, heads * d);
    };
    const y = ops.scaledDotProductAttention(tokens("q"), tokens("k"), tokens("v"), { heads, isCausal });
    return ops.permute(y.reshape(n, -1, heads, d), [0, 2, 1, 3]);
  };

const unary = (op: (x: Tensor) => Tensor) => (i: Inputs) => op(i.tensor("x"));

const CASES: Record<string, (inputs: Inputs, device: Device) => Tensor> = {
  conv2d_1x1: conv({}),
  conv2d_3x3: conv({ padding: 1 }),
  conv2d_3x3_stride2: conv({ padding: 1, stride: 2 }),
  conv2d_3x3_stride2_asympad: conv({ stride: 2, padding: { top: 0, left: 0, bottom: 1, right: 1 } }),
  conv2d_7x7: conv({ padding: 3 }),
  conv2d_patch14: conv({ stride: 14 }, false),
  group_norm: norm(8, 1e-5),
  group_norm_large_mean: norm(4, 1e-6),
  layer_norm: (i) => ops.layerNorm(i.tensor("x"), { weight: i.tensor("w"), bias: i.tensor("b"), eps: 1e-5 }),
  linear: (i) => ops.linear(i.tensor("x"), i.tensor("w"), { bias: i.tensor("b") }),
  geglu: (i) => ops.geglu(ops.linear(i.tensor("x"), i.tensor("w"), { bias: i.tensor("b") })),
  silu: unary(ops.silu),
  gelu: unary(ops.gelu),
  gelu_tanh: unary(ops.geluTanh),
  quick_gelu: unary(ops.quickGelu),
  softmax: unary(ops.softmax),
  softmax_large: unary(ops.softmax),
  attention_d8: attention(),
  attention_d40: attention(),
  attention_d64: attention(),
  attention_d80: attention(),
  attention_d160: attention(),
  attention_d512: attention(),
  attention_causal: attention(true),
  upsample_nearest2x: (i) => planes(ops.interpolate(i.image("x"), { scaleFactor: 2 })),
  upsample_nearest_size: (i) => planes(ops.interpolate(i.image("x"), { size: [7, 11] })),
  bilinear_align: (i) =>
    planes(ops.interpolate(i.image("x"), { size: [23, 17], mode: "bilinear", alignCorners: true })),
  max_pool2d: (i) => planes(ops.maxPool2d(i.image("x"), { kernelSize: 2 })),
  embedding: (i, device) => {
    const { data, shape } = golden.get("embedding.in.ids")!;
    return ops.embedding(Tensor.from(device, Int32Array.from(data), shape), i.tensor("w"));
  },
  cat: (i) => ops.concat([i.tensor("a"), i.tensor("b")], 1),
  mul_broadcast: (i) => ops.mul(i.tensor("x"), i.tensor("y")),
  mse: (i) => ops.mseLoss(i.tensor("x"), i.tensor("y")),
  timestep_embedding: (_, device) =>
    ops.timestepEmbedding(device, [...golden.get("timestep_embedding.in")!.data], 320, {
      flipSinToCos: true,
      downscaleFreqShift: 0,
    }),
};

/** One operator in float32: a few roundings of a sum of at most a few thousand terms. */
const LIMIT = 2e-6;
const LIMITS: Record<string, number> = {
  group_norm_large_mean: 1e-5, // the reference's own float32 is 6.4e-6 from float64 here: mean 100, deviation 0.1
  timestep_embedding: 1e-4, // the last bit of float32's exp, times a timestep of 999, is 6e-5 of an angle
};

/** Gradients pass through two or three such sums. */
const GRADIENT_LIMIT = 4e-6;
const GRADIENT_LIMITS: Record<string, number> = {
  group_norm_large_mean: 2.5e-4, // the reference's own grad.w is 1.89e-4 from float64: it loses the deviation in the mean
};

describe.each([
  { variants: {} },
  { variants: { gemm: "tiled", attention: "plain", reduce: "workgroup", outer: "plain" } },
  { variants: { gemm: "plain" } },
])("PyTorch's values and gradients, $variants", ({ variants }) => {
  let device: Device;
  beforeAll(async () => {
    device = await requestDevice({ variants, guard: 256 });
  });

  const names = [...golden.keys()].filter((key) => key.endsWith(".out")).map((key) => key.slice(0, -4));

  test("every case of the file is tried", () => expect(Object.keys(CASES).sort()).toEqual(names.sort()));

  test.for(names)("%s", async (name) => {
    const { data, shape } = golden.get(`${name}.out`)!;
    const y = device.scope(() => CASES[name]!(inputsOf(device, name), device));
    const values = await y.data().finally(() => y.dispose());
    expect(y.shape).toEqual(shape);
    expect(relErr(values, data)).toBeLessThan(LIMITS[name] ?? LIMIT);
    await device.checkGuards();
    expect(device.memory.live).toBe(0);
  });

  const graded = [...golden.keys()].filter((key) => key.includes(".grad."));

  test.for(names.filter((name) => graded.some((key) => key.startsWith(`${name}.grad.`))))(
    "gradients of %s",
    async (name) => {
      const keys = graded.filter((key) => key.startsWith(`${name}.grad.`));
      const found = device.scope(() => {
        const made = new Map<string, Tensor>();
        const inputs = inputsOf(device, name, made);
        const targets = keys.map((key) => inputs.tensor(key.split(".grad.")[1]!));
        const { data, shape } = golden.get(`${name}.grad_out`)!;
        const tape = new Tape(device);
        tape.watch(targets);
        const y = tape.run(() => CASES[name]!(inputs, device));
        return tape.backward(y, targets, Tensor.from(device, data, shape));
      });
      for (const [i, key] of keys.entries()) {
        const { data, shape } = golden.get(key)!;
        expect(found[i]!.shape).toEqual(shape);
        const values = await found[i]!.data().finally(() => found[i]!.dispose());
        expect(relErr(values, data), key).toBeLessThan(GRADIENT_LIMITS[name] ?? GRADIENT_LIMIT);
      }
      await device.checkGuards();
      expect(device.memory.live).toBe(0);
    },
  );
});
