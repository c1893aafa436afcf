// The UNet step as an ONNX graph with weights by formula. Constants are constants of the graph, so that ONNX Runtime folds
// what does not change between steps, as toile keeps it: the garment's and the text's keys and values, the time's shifts.
import { input, weight } from "./formula.js";
import { PeerGraph } from "./ort.js";
import { describeStep } from "./unet.js";

/** Cosines, then sines, of a timestep (Vaswani et al. 2017, section 3.5). */
function waves(timestep, dim) {
  const half = dim / 2;
  const angle = (i) => timestep * 10000 ** (-i / half);
  return Float32Array.from({ length: dim }, (_, i) => (i < half ? Math.cos(angle(i)) : Math.sin(angle(i - half))));
}

/** What the graph's constants hold; `values("garment.0", shape)` are also given to toile. */
export const constantValues = (name, { n, t, c }, timestep) =>
  name === "time" ? waves(timestep, c) : input(name, [n, t, c]);

function operators(g, prefix, timestep) {
  const made = (x, sizes, op, inputs, attributes) => ({ ...x, ...sizes, value: g.node(op, inputs, attributes) });
  const parameter = (name, shape) => weight(prefix, name, shape);
  const constants = new Map();
  return {
    constant(name, { n, t, c }) {
      if (!constants.has(name)) constants.set(name, g.weight(constantValues(name, { n, t, c }, timestep), [n, t, c]));
      return { n, t, c, value: constants.get(name) };
    },
    conv(x, name, out, { kernel = 3, stride = 1 } = {}) {
      const w = g.weight(parameter(`${name}.weight`, [out, x.c, kernel, kernel]), [out, x.c, kernel, kernel]);
      const bias = g.weight(parameter(`${name}.bias`, [out]));
      const pads = Array(4).fill((kernel - 1) / 2);
      const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads };
      const sizes = { h: Math.ceil(x.h / stride), w: Math.ceil(x.w / stride), c: out };
      return made(x, sizes, "Conv", [x.value, w, bias], attributes);
    },
    groupNorm(x, name, eps, silu) {
      const [gamma, beta] = ["weight", "bias"].map((part) => parameter(`${name}.${part}`, [x.c]));
      const y = g.groupNorm(x.value, [x.n, x.c, x.h, x.w], gamma, beta, eps);
      return { ...x, value: silu ? g.silu(y) : y };
    },
    layerNorm(x, name) {
      const [gamma, beta] = ["weight", "bias"].map((part) => parameter(`${name}.${part}`, [x.c]));
      return { ...x, value: g.layerNorm(x.value, gamma, beta) };
    },
    linear(x, name, out, { bias = true } = {}) {
      const b = bias ? parameter(`${name}.bias`, [out]) : undefined;
      return { ...x, c: out, value: g.linear(x.value, parameter(`${name}.weight`, [out, x.c]), [out, x.c], b) };
    },
    attention: (q, k, v, heads) =>
      made(q, {}, "com.microsoft:MultiHeadAttention", [q.value, k.value, v.value], { num_heads: heads }),
    silu: (x) => made(x, {}, "Mul", [x.value, g.node("Sigmoid", [x.value])]),
    shift: (x, shift) => made(x, {}, "Add", [x.value, g.node("Reshape", [shift.value, g.ints(1, x.c, 1, 1)])]),
    add: (a, b) => made(a, {}, "Add", [a.value, b.value]),
    geglu: (x) => ({ ...x, c: x.c / 2, value: g.geglu(x.value) }),
    concat([a, b], dim) {
      const sizes = dim === 1 ? { t: a.t + b.t } : { c: a.c + b.c };
      return made(a, sizes, "Concat", [a.value, b.value], { axis: 1 });
    },
    flatten(x) {
      const flat = g.node("Reshape", [x.value, g.ints(x.n, x.c, x.h * x.w)]);
      return made(x, { t: x.h * x.w }, "Transpose", [flat], { perm: [0, 2, 1] });
    },
    unflatten(x, image) {
      const planes = g.node("Transpose", [x.value], { perm: [0, 2, 1] });
      return made(image, {}, "Reshape", [planes, g.ints(image.n, image.c, image.h, image.w)]);
    },
    upsample(x, { h, w }) {
      const scales = g.constant(Float32Array.of(1, 1, h / x.h, w / x.w), [4], "f32");
      return made(x, { h, w }, "Resize", [x.value, "", scales], {
        mode: "nearest",
        coordinate_transformation_mode: "asymmetric",
        nearest_mode: "floor",
      });
    },
  };
}

/** The model's bytes: `sample` [n, c, h, w] → `noise` [n, 4, h, w]. */
export function unetModel(config, { n, h, w }, { prefix, timestep, dtype = "f32" }) {
  const g = new PeerGraph("unet", dtype);
  const c = config.in_channels;
  g.input("sample", [n, c, h, w], dtype);
  const y = describeStep(operators(g, prefix, timestep), config, { n, h, w, c, value: "sample" });
  g.node("Identity", [y.value], {}, "noise");
  g.output("noise", [n, 4, h, w], dtype);
  return g.model(21);
}
