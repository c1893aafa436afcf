// toile as a candidate of the operators' bench.
import { Tensor, ops } from "../../dist/index.js";
import { toHalf } from "./half.js";

/** Makes a case's weights, as the library keeps them after loading, and disposes of them together. */
class Weights {
  #made = [];
  constructor(device, dtype) {
    Object.assign(this, { device, dtype });
  }
  #keep(tensor) {
    this.#made.push(tensor);
    return tensor;
  }
  vector(values) {
    return this.#keep(Tensor.from(this.device, values, [values.length]));
  }
  plain(values, shape) {
    return this.#keep(Tensor.from(this.device, values, shape, this.dtype));
  }
  packed(values, shape) {
    return this.#keep(this.device.scope(() => ops.packWeight(Tensor.from(this.device, values, shape, this.dtype))));
  }
  dispose() {
    for (const tensor of this.#made) tensor.dispose();
  }
}

/** By operator: the weights of a case → the i-th link of its chain. */
const STEPS = {
  matmul(own, { x: [n] }, { w }) {
    const b = own.plain(w, [n, n]);
    return (x) => ops.matmul(x, b);
  },
  linear(own, { widths: [a, b] }, { w, bias }) {
    const weights = [own.packed(w[0], [b, a]), own.packed(w[1], [a, b])];
    const biases = bias.map((values) => own.vector(values));
    return (x, i) => ops.linear(x, weights[i % 2], { bias: biases[i % 2] });
  },
  conv(own, { x: [, , , c] }, { w, bias }) {
    const weight = own.packed(w, [c, c, 3, 3]);
    const options = { bias: own.vector(bias), padding: 1 };
    return (x) => ops.conv2d(x, weight, options);
  },
  attention(own, { x: [, , c], keys, heads }, { k, v }) {
    const [key, value] = [k, v].map((values) => own.plain(values, [1, keys, c]));
    return (x) => ops.scaledDotProductAttention(x, key, value, { heads });
  },
  groupNorm(own, _, { weight, bias }) {
    const options = { weight: own.vector(weight), bias: own.vector(bias), activation: "silu" };
    return (x) => ops.groupNorm(x, 32, options);
  },
  layerNorm(own, _, { weight, bias }) {
    const options = { weight: own.vector(weight), bias: own.vector(bias) };
    return (x) => ops.layerNorm(x, options);
  },
  softmax: () => (x) => ops.softmax(x),
  feedForward(own, { x: [, c] }, { weight, bias, w, b }) {
    const norm = { weight: own.vector(weight), bias: own.vector(bias) };
    const [first, second] = [own.packed(w[0], [8 * c, c]), own.packed(w[1], [c, 4 * c])];
    const [b0, b1] = b.map((values) => own.vector(values));
    return (x) =>
      ops.linear(ops.linearGeglu(ops.layerNorm(x, norm), first, { bias: b0 }), second, { bias: b1, residual: x });
  },
};

/** A candidate of a case: `run` uploads x, runs the chain and reads back; `values` are its result as float32. */
export function oursCandidate(device, test, x, inputs, dtype) {
  const own = new Weights(device, dtype);
  const step = STEPS[test.op](own, test, inputs);
  const bits = dtype === "f16" ? toHalf(x) : x;
  const bytes = new Uint8Array(bits.buffer);
  const chain = async (read) => {
    const y = device.scope(() => {
      let last = Tensor.fromBytes(device, bytes, test.x, dtype);
      for (let i = 0; i < test.repeat; i++) last = step(last, i);
      return last;
    });
    try {
      return await read(y);
    } finally {
      y.dispose();
    }
  };
  return {
    name: `toile ${dtype}`,
    run: () => chain((y) => device.read(y.view)),
    values: () => chain((y) => y.data()),
    dispose: () => own.dispose(),
  };
}
