// onnxruntime-node as a candidate. Networks are written by onnx.js, in the operators its exporters and optimisers make.
import { createRequire } from "node:module";
import { fromHalf, toHalf } from "./half.js";
import { OnnxGraph } from "./onnx.js";

export const ort = createRequire(import.meta.url)("onnxruntime-node");

/** A graph whose weights are float32 numbers kept as `dtype`. */
export class PeerGraph extends OnnxGraph {
  constructor(name, dtype) {
    super(name);
    this.dtype = dtype;
  }
  weight(values, shape = [values.length]) {
    return this.constant(this.dtype === "f16" ? toHalf(values) : values, shape, this.dtype);
  }
  ints(...values) {
    return this.constant(BigInt64Array.from(values, BigInt), [values.length], "i64");
  }
  /** x · wᵀ + bias; w as PyTorch lays it out. */
  linear(x, values, [out, inputs], bias) {
    const y = this.node("MatMul", [x, this.weight(transposed(values, out, inputs), [inputs, out])]);
    return bias ? this.node("Add", [y, this.weight(bias)]) : y;
  }
  silu(x) {
    return this.node("com.microsoft:QuickGelu", [x], { alpha: { float: 1 } });
  }
  layerNorm(x, weight, bias) {
    const inputs = [x, this.weight(weight), this.weight(bias)];
    return this.node("LayerNormalization", inputs, { epsilon: { float: 1e-5 }, axis: -1 });
  }
  /** As PyTorch's exporter writes it: the WebGPU provider has no node for GroupNormalization. */
  groupNorm(x, [n, c, h, w], weight, bias, eps = 1e-5, groups = 32) {
    const [ones, zeros] = [1, 0].map((value) => this.weight(new Float32Array(groups).fill(value)));
    const flat = this.node("Reshape", [x, this.ints(n, groups, -1)]);
    const normed = this.node("InstanceNormalization", [flat, ones, zeros], { epsilon: { float: eps } });
    const back = this.node("Reshape", [normed, this.ints(n, c, h, w)]);
    const scaled = this.node("Mul", [back, this.weight(weight, [1, c, 1, 1])]);
    return this.node("Add", [scaled, this.weight(bias, [1, c, 1, 1])]);
  }
  /** As PyTorch's exporter writes it: two products and a softmax. */
  attention(q, k, v, [n, queries, keys, c], heads) {
    const d = c / heads;
    const split = (x, tokens, perm) =>
      this.node("Transpose", [this.node("Reshape", [x, this.ints(n, tokens, heads, d)])], { perm });
    const scaled = this.node("Mul", [split(q, queries, [0, 2, 1, 3]), this.weight(Float32Array.of(d ** -0.5))]);
    const scores = this.node("MatMul", [scaled, split(k, keys, [0, 2, 3, 1])]);
    const mixed = this.node("MatMul", [this.node("Softmax", [scores], { axis: -1 }), split(v, keys, [0, 2, 1, 3])]);
    return this.node("Reshape", [this.node("Transpose", [mixed], { perm: [0, 2, 1, 3] }), this.ints(n, queries, c)]);
  }
  geglu(x) {
    const half = `${x}_gate`;
    this.node("Split", [x], { axis: -1, num_outputs: 2 }, [`${x}_value`, half]);
    return this.node("Mul", [`${x}_value`, this.node("Gelu", [half])]);
  }
}

export function transposed(values, rows, columns) {
  const result = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = values[i * columns + j];
  return result;
}

const CHAINS = {
  matmul(g, { x: [n] }, { w }) {
    const b = g.weight(w, [n, n]);
    return (x) => g.node("MatMul", [x, b]);
  },
  linear(g, { widths: [a, b] }, { w, bias }) {
    const shapes = [
      [b, a],
      [a, b],
    ];
    return (x, i) => g.linear(x, w[i % 2], shapes[i % 2], bias[i % 2]);
  },
  conv(g, { x: [, , , c] }, { w, bias }) {
    const inputs = [g.weight(w, [c, c, 3, 3]), g.weight(bias)];
    return (x) => g.node("Conv", [x, ...inputs], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
  },
  attention(g, { x: [, queries, c], keys, heads, other }, { k, v }) {
    const inputs = [k, v].map((values) => g.weight(values, [1, keys, c]));
    return other
      ? (x) => g.attention(x, ...inputs, [1, queries, keys, c], heads)
      : (x) => g.node("com.microsoft:MultiHeadAttention", [x, ...inputs], { num_heads: heads });
  },
  groupNorm(g, { x: [n, h, w, c], other }, { weight, bias }) {
    if (!other) return (x) => g.silu(g.groupNorm(x, [n, c, h, w], weight, bias));
    const inputs = [g.weight(weight), g.weight(bias)];
    const attributes = { num_groups: 32, epsilon: { float: 1e-5 } };
    return (x) => g.silu(g.node("GroupNormalization", [x, ...inputs], attributes));
  },
  layerNorm:
    (g, _, { weight, bias }) =>
    (x) =>
      g.layerNorm(x, weight, bias),
  softmax: (g) => (x) => g.node("Softmax", [x], { axis: -1 }),
  feedForward:
    (g, { x: [, c] }, { weight, bias, w, b }) =>
    (x) => {
      const wide = g.linear(g.layerNorm(x, weight, bias), w[0], [8 * c, c], b[0]);
      return g.node("Add", [g.linear(g.geglu(wide), w[1], [c, 4 * c], b[1]), x]);
    },
};

const isImage = (shape) => shape.length === 4;
const planesShape = ([n, h, w, c]) => [n, c, h, w];

/** NHWC ↔ NCHW on the host, outside what is timed. */
export function toPlanes(values, [n, h, w, c], back = false) {
  const result = new values.constructor(values.length);
  for (let i = 0; i < n; i++)
    for (let p = 0; p < h * w; p++)
      for (let j = 0; j < c; j++) {
        const pixels = (i * h * w + p) * c + j;
        const planes = (i * c + j) * h * w + p;
        if (back) result[pixels] = values[planes];
        else result[planes] = values[pixels];
      }
  return result;
}

/**
 * A session. On WebGPU it refuses to exist when any node would run on the CPU, unless `mixed`.
 * @param provider "webgpu" or "cpu"
 */
export function openSession(model, provider, { mixed = false } = {}) {
  const only = { session: { disable_cpu_ep_fallback: "1" } };
  return ort.InferenceSession.create(model, {
    executionProviders: [provider],
    logSeverityLevel: 3,
    ...(provider === "webgpu" && !mixed ? { extra: only } : {}),
  });
}

export const ortTensor = (values, shape, dtype) =>
  dtype === "f16" ? new ort.Tensor("float16", toHalf(values), shape) : new ort.Tensor("float32", values, shape);

export const ortValues = ({ type, data }) =>
  type === "float16" ? fromHalf(new Uint16Array(data.buffer, data.byteOffset, data.length)) : data;

const OTHER_FORM = { groupNorm: ", GroupNormalization", attention: ", MatMul and Softmax" };

/**
 * A candidate: ONNX Runtime's session over the case's chain. Layouts are NCHW outside, as in every ONNX model.
 * `other` writes the operator in its second form: the GroupNormalization node, whose shape arithmetic runs on the CPU, or
 * attention without the fused node.
 */
export async function ortCandidate(test, x, inputs, { provider, dtype, other = false }) {
  const mixed = other && test.op === "groupNorm";
  const shape = isImage(test.x) ? planesShape(test.x) : test.x;
  const g = new PeerGraph(test.name, dtype);
  let last = g.input("x", shape, dtype);
  const step = CHAINS[test.op](g, { ...test, other }, inputs);
  for (let i = 0; i < test.repeat; i++) last = step(last, i);
  g.node("Identity", [last], {}, "y");
  g.output("y", shape, dtype);
  const session = await openSession(g.model(21), provider, { mixed });
  const feeds = { x: ortTensor(isImage(test.x) ? toPlanes(x, test.x) : x, shape, dtype) };
  return {
    name: `onnxruntime ${provider} ${dtype}${other ? OTHER_FORM[test.op] : ""}`,
    run: () => session.run(feeds),
    async values() {
      const values = ortValues((await session.run(feeds)).y);
      return isImage(test.x) ? toPlanes(values, test.x, true) : values;
    },
    dispose: () => session.release(),
  };
}
