import { expect, test } from "vitest";
import { loadFixture, relErr } from "../helpers.ts";
import {
  broadcast,
  concat,
  elementwise,
  embedding,
  joinRuns,
  matmul,
  permute,
  slice,
  timestepEmbedding,
} from "./arrays.ts";
import { activations, erf, geglu, groupNorm, interpolate, layerNorm, pool } from "./elementwise.ts";
import { attention, conv2d, linear, softmax, type ConvShape } from "./products.ts";

// The oracles themselves against PyTorch. Images there are [n, c, h, w].

const golden = loadFixture("ops.safetensors");
const of = (key: string) => golden.get(key)!;

/** Values with their second dimension moved to the end. */
function pixels({
  data,
  shape: [n = 1, c = 1, h = 1, w = 1],
}: {
  data: Float32Array;
  shape: readonly number[];
}): Float64Array {
  return Float64Array.from(
    { length: data.length },
    (_, i) => data[((Math.floor(i / (h * w * c)) % n) * c + (i % c)) * h * w + (Math.floor(i / c) % (h * w))]!,
  );
}

/** Float32's own error in the reference. */
const LIMIT = 2e-6;

test.for([
  ["conv2d_1x1", {}],
  ["conv2d_3x3", { pad: [1, 1, 1, 1] }],
  ["conv2d_3x3_stride2", { pad: [1, 1, 1, 1], stride: 2 }],
  ["conv2d_3x3_stride2_asympad", { pad: [0, 1, 0, 1], stride: 2 }],
  ["conv2d_7x7", { pad: [3, 3, 3, 3] }],
  ["conv2d_patch14", { stride: 14 }],
] as const)("%s", ([name, options]) => {
  const [x, w] = [of(`${name}.in.x`), of(`${name}.in.w`)];
  const [n = 0, inputs = 0, h = 0, width = 0] = x.shape;
  const shape: ConvShape = {
    n,
    h,
    w: width,
    inputs,
    outputs: w.shape[0]!,
    kernel: [w.shape[2]!, w.shape[3]!],
    ...options,
  };
  const bias = golden.get(`${name}.in.b`)?.data;
  expect(relErr(conv2d(pixels(x), w.data, shape, bias ? { bias } : {}), pixels(of(`${name}.out`)))).toBeLessThan(LIMIT);
});

test.for([
  "attention_d8",
  "attention_d40",
  "attention_d64",
  "attention_d80",
  "attention_d160",
  "attention_d512",
  "attention_causal",
])("%s", (name) => {
  const [n = 0, heads = 0, queries = 0, headDim = 0] = of(`${name}.in.q`).shape;
  const keys = of(`${name}.in.k`).shape[2]!;
  // [n, heads, tokens, d] is [n, c, h, w] with c = heads and w = d: tokens of all heads side by side
  const tokens = ({ data, shape: [, , t = 0] }: { data: Float32Array; shape: readonly number[] }) =>
    Float64Array.from({ length: data.length }, (_, i) => {
      const [b, token, head, c] = [
        Math.floor(i / (t * heads * headDim)),
        Math.floor(i / (heads * headDim)) % t,
        Math.floor(i / headDim) % heads,
        i % headDim,
      ];
      return data[((b * heads + head) * t + token) * headDim + c]!;
    });
  const [q, k, v] = ["q", "k", "v"].map((key) => tokens(of(`${name}.in.${key}`))) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const y = attention(q, k, v, { n, queries, keys, heads, headDim, causal: name === "attention_causal" });
  expect(relErr(y, tokens(of(`${name}.out`)))).toBeLessThan(LIMIT);
});

test("linear, geglu, softmax", () => {
  const product = (name: string) => {
    const [x, w] = [of(`${name}.in.x`), of(`${name}.in.w`)];
    const [n = 0, k = 0] = w.shape;
    return { y: linear(x.data, w.data, [x.data.length / k, n, k], { bias: of(`${name}.in.b`).data }), n };
  };
  expect(relErr(product("linear").y, of("linear.out").data)).toBeLessThan(LIMIT);
  const { y, n } = product("geglu");
  expect(relErr(geglu(y, n / 2), of("geglu.out").data)).toBeLessThan(LIMIT);
  for (const name of ["softmax", "softmax_large"]) {
    const x = of(`${name}.in.x`);
    expect(relErr(softmax(x.data, x.shape[1]!), of(`${name}.out`).data)).toBeLessThan(LIMIT);
  }
});

test("norms", () => {
  const params = (name: string, eps: number) => ({
    weight: of(`${name}.in.w`).data,
    bias: of(`${name}.in.b`).data,
    eps,
  });
  const layer = of("layer_norm.in.x");
  expect(relErr(layerNorm(layer.data, 40, params("layer_norm", 1e-5)), of("layer_norm.out").data)).toBeLessThan(LIMIT);
  for (const [name, groups, eps, limit] of [
    ["group_norm", 8, 1e-5, LIMIT],
    ["group_norm_large_mean", 4, 1e-6, 1e-5],
  ] as const) {
    const {
      shape: [n = 0, c = 0, h = 0, w = 0],
    } = of(`${name}.in.x`);
    const y = groupNorm(pixels(of(`${name}.in.x`)), [n, h * w, c], groups, params(name, eps));
    expect(relErr(y, pixels(of(`${name}.out`)))).toBeLessThan(limit);
  }
});

test.for([
  ["silu", "silu"],
  ["gelu", "gelu"],
  ["gelu_tanh", "geluTanh"],
  ["quick_gelu", "quickGelu"],
] as const)("%s", ([name, op]) => {
  expect(relErr(Float64Array.from(of(`${name}.in.x`).data, activations[op]), of(`${name}.out`).data)).toBeLessThan(
    1e-6,
  );
});

test("resizing and pooling", () => {
  for (const [name, mode, alignCorners] of [
    ["upsample_nearest2x", "nearest", false],
    ["upsample_nearest_size", "nearest", false],
    ["bilinear_align", "bilinear", true],
  ] as const) {
    const [x, y] = [of(`${name}.in.x`), of(`${name}.out`)];
    const [n = 0, c = 0, h = 0, w = 0] = x.shape;
    const result = interpolate(
      pixels(x),
      { n, input: [h, w], output: [y.shape[2]!, y.shape[3]!], c },
      mode,
      alignCorners,
    );
    expect(relErr(result, pixels(y))).toBeLessThan(LIMIT);
  }
  const [n = 0, c = 0, h = 0, w = 0] = of("max_pool2d.in.x").shape;
  const result = pool(pixels(of("max_pool2d.in.x")), { n, input: [h, w], output: [h / 2, w / 2], c }, "max", {
    kernel: 2,
    stride: 2,
    pad: 0,
  });
  expect(relErr(result, pixels(of("max_pool2d.out")))).toBe(0);
});

test("embedding, concatenation, broadcasting, timesteps", () => {
  const table = of("embedding.in.w");
  expect(relErr(embedding(of("embedding.in.ids").data, table.data, table.shape[1]!), of("embedding.out").data)).toBe(0);
  const operand = (name: string, key: string) => {
    const { data, shape } = of(`${name}.in.${key}`);
    return [data, shape] as const;
  };
  expect(relErr(concat([operand("cat", "a"), operand("cat", "b")], 1), of("cat.out").data)).toBe(0);
  const [x, y] = [operand("mul_broadcast", "x"), operand("mul_broadcast", "y")];
  const product = elementwise((p, q) => p * q, x, y);
  expect(relErr(product, of("mul_broadcast.out").data)).toBeLessThan(1e-7);
  expect(broadcast(x[1], y[1])).toEqual(of("mul_broadcast.out").shape);
  const squares = elementwise((p, q) => (p - q) ** 2, operand("mse", "x"), operand("mse", "y"));
  expect(relErr([squares.reduce((sum, v) => sum + v) / squares.length], of("mse.out").data)).toBeLessThan(LIMIT);
  // PyTorch's own frequencies are float32: their last bit, times a timestep of 999, is 6e-5 of an angle
  const steps = timestepEmbedding(of("timestep_embedding.in").data, 320, { flipSinToCos: true, downscaleFreqShift: 0 });
  expect(relErr(steps, of("timestep_embedding.out").data)).toBeLessThan(1e-4);
});

// What the reference file does not hold, against numbers that can be checked by hand.

test("moving by hand", () => {
  const x = [0, 1, 2, 3, 4, 5];
  expect([...permute(x, [2, 3], [1, 0])]).toEqual([0, 3, 1, 4, 2, 5]);
  expect([...permute(x, [1, 2, 3], [2, 0, 1])]).toEqual([0, 3, 1, 4, 2, 5]);
  expect([...slice(x, [2, 3], 1, 1, 3)]).toEqual([1, 2, 4, 5]);
  const parts = [
    [
      [0, 1],
      [2, 1],
    ],
    [
      [2, 3, 4, 5],
      [2, 2],
    ],
  ] as const;
  expect([...concat(parts, 1)]).toEqual([0, 2, 3, 1, 4, 5]);
  expect([
    ...joinRuns(2, [
      [[7], [1, 1, 1]],
      [x, [2, 3, 1]],
    ]),
  ]).toEqual([7, 0, 1, 2, 7, 3, 4, 5]);
  expect([...matmul(x, [1, 10, 100], [1, 2, 3, 1])]).toEqual([210, 543]);
  expect([...matmul([1, 2], x, [1, 1, 2, 3], { transposed: true })]).toEqual([2, 8, 14]);
});

test("pooling and resizing by hand", () => {
  const shape = { n: 1, input: [3, 3], output: [2, 2], c: 1 } as const;
  const x = [-1, -2, -3, -4, -5, -6, -7, -8, -9];
  const window = { kernel: 3, stride: 2, pad: 1 };
  expect([...pool(x, shape, "max", window)]).toEqual([-1, -2, -4, -5]);
  expect([...pool(x, shape, "average", window)]).toEqual([-12 / 9, -16 / 9, -24 / 9, -28 / 9]); // zeros are counted
  // corners apart: source places 0.25 and 1.75; corners aligned: 0 and 2
  expect([...interpolate(x, shape, "bilinear")]).toEqual([-2, -3.5, -6.5, -8]);
  expect([...interpolate(x, shape, "bilinear", true)]).toEqual([-1, -3, -7, -9]);
  // by a factor of 1.5, 3 pixels become 4 whose places are thirds of 2, not quarters of 3
  const wide = { n: 1, input: [1, 3], output: [1, 4], c: 1, factor: 1.5 } as const;
  expect([...interpolate([0, 1, 2], wide, "nearest")]).toEqual([0, 0, 1, 2]);
  expect(relErr(interpolate([0, 3, 6], wide, "bilinear"), [0, 1.5, 3.5, 5.5])).toBeLessThan(1e-15);
  // 23 · 14/46 is 7; in float32 it is a bit less, and PyTorch takes pixel 6
  const ramp = Float32Array.from({ length: 14 }, (_, i) => i);
  expect(interpolate(ramp, { n: 1, input: [1, 14], output: [1, 46], c: 1 }, "nearest")[23]).toBe(6);
});

test("erf to fifteen digits", () => {
  for (const [x, y] of [
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2.4, 0.9993114861033549],
    [2.6, 0.9997639655834707],
    [4, 0.9999999845827421],
  ] as const)
    expect(Math.abs(erf(x) - y)).toBeLessThan(1e-15);
});
