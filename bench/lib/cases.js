// The operators of a Stable Diffusion 1.5 UNet at 512x384, with the inputs that every candidate gets. Each candidate runs a
// chain of `repeat` operators, every one fed by the one before, between one upload of x and one download of the result.
import { fill, fnv1a } from "./formula.js";

const product = (shape) => shape.reduce((a, b) => a * b, 1);
const random = (name, shape, scale) =>
  fill(new Float32Array(product(shape)), fnv1a(name), scale ?? Math.sqrt(3 / product(shape.slice(1))));

function matmul(size, repeat) {
  const flops = 2 * size ** 3;
  return {
    name: `matmul ${size}³`,
    group: "matmul",
    op: "matmul",
    repeat,
    flops,
    x: [size, size],
    inputs: () => ({ w: random("b", [size, size], Math.sqrt(3 / size)) }),
  };
}

/** Layers of the given widths in turn: 320, 1280 is 320 → 1280 → 320 → … */
function linear(rows, [a, b = a], repeat) {
  return {
    name: `linear ${rows} rows, ${a === b ? a : `${a} ↔ ${b}`}`,
    group: "linear",
    op: "linear",
    repeat,
    flops: 2 * rows * a * b,
    x: [rows, a],
    widths: [a, b],
    inputs: () => ({
      w: [random("w0", [b, a]), random("w1", [a, b])],
      bias: [random("b0", [b], 0.05), random("b1", [a], 0.05)],
    }),
  };
}

function conv(channels, [h, w], repeat) {
  return {
    name: `conv 3x3 ${channels}, ${h}x${w}`,
    group: "conv",
    op: "conv",
    repeat,
    flops: 18 * h * w * channels ** 2,
    x: [1, h, w, channels],
    inputs: () => ({ w: random("w", [channels, channels, 3, 3]), bias: random("b", [channels], 0.05) }),
  };
}

function attention(queries, keys, d, repeat) {
  const heads = 8;
  const c = heads * d;
  return {
    name: `attention ${queries} x ${keys}, d ${d}`,
    group: "attention",
    op: "attention",
    repeat,
    flops: 4 * queries * keys * c,
    x: [1, queries, c],
    heads,
    keys,
    inputs: () => ({ k: random("k", [1, keys, c], 1.7), v: random("v", [1, keys, c], 1.7) }),
  };
}

function groupNorm(n, channels, [h, w], repeat) {
  return {
    name: `GroupNorm + SiLU ${n}x${channels}x${h}x${w}`,
    group: "norm",
    op: "groupNorm",
    repeat,
    x: [n, h, w, channels],
    inputs: () => ({ weight: random("gamma", [channels], 0.5), bias: random("beta", [channels], 0.5) }),
  };
}

function layerNorm(rows, channels, repeat) {
  return {
    name: `LayerNorm ${rows}x${channels}`,
    group: "norm",
    op: "layerNorm",
    repeat,
    x: [rows, channels],
    inputs: () => ({ weight: random("gamma", [channels], 1.5), bias: random("beta", [channels], 0.5) }),
  };
}

const softmax = (rows, length, repeat) => ({
  name: `softmax ${rows}x${length}`,
  group: "norm",
  op: "softmax",
  repeat,
  x: [rows, length],
  inputs: () => ({}),
});

/** LayerNorm, a linear layer to 8c channels, GEGLU, a linear layer back, and the residual. */
function feedForward(rows, c, repeat) {
  return {
    name: `feed-forward with GEGLU ${rows}x${c}`,
    group: "feedForward",
    op: "feedForward",
    repeat,
    flops: 2 * rows * c * 8 * c + 2 * rows * 4 * c * c,
    x: [rows, c],
    inputs: () => ({
      weight: random("gamma", [c], 0.5),
      bias: random("beta", [c], 0.5),
      w: [random("w0", [8 * c, c]), random("w1", [c, 4 * c])],
      b: [random("b0", [8 * c], 0.05), random("b1", [c], 0.05)],
    }),
  };
}

/** Cases whose ratios are asked for: `asked` is our rate over that of ORT's WebGPU provider, by our storage type. */
export const CASES = [
  { ...matmul(512, 8), asked: { f32: 2.6, f16: 3 } },
  { ...matmul(1024, 2), asked: { f32: 2.6, f16: 3 } },
  { ...linear(3072, [320], 4), asked: { f32: 2.6, f16: 3 } },
  { ...linear(768, [640], 4), asked: { f32: 2.6, f16: 3 } },
  { ...linear(192, [1280], 4), asked: { f32: 2.6, f16: 3 } },
  { ...linear(48, [1280], 8), asked: { f32: 2.6, f16: 3 } },
  { ...linear(3072, [320, 1280], 2), asked: { f32: 2.6, f16: 3 } },
  { ...linear(768, [640, 2560], 2), asked: { f32: 2.6, f16: 3 } },
  { ...linear(192, [1280, 5120], 2), asked: { f32: 2.6, f16: 3 } },
  { ...conv(320, [32, 24], 4), asked: { f32: 3.5 } },
  { ...conv(320, [64, 48], 1), asked: { f32: 3 } },
  { ...conv(640, [32, 24], 1), asked: { f32: 3 } },
  { ...conv(1280, [16, 12], 1), asked: { f32: 3 } },
  { ...conv(1280, [8, 6], 2), asked: { f32: 3 } },
  { ...attention(768, 1536, 40, 4), asked: { f32: 1 } },
  attention(768, 1536, 80, 2),
  attention(768, 1536, 160, 1),
  attention(3072, 6144, 40, 1),
  { ...groupNorm(2, 320, [64, 48], 24), askedOf: { "onnxruntime webgpu f32, GroupNormalization": 8 } },
  groupNorm(2, 1280, [16, 12], 16),
  layerNorm(6144, 320, 16),
  softmax(6144, 1536, 4),
  feedForward(768, 640, 1),
];

export const inputX = ({ x }) => random("x", x, Math.sqrt(3));
