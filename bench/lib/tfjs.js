// TensorFlow.js as a candidate, on the WebGPU backend. It has no float16 and no fused attention or normalisation: those are
// put together from its operators, as its layers do.
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-webgpu";

export async function openTfjs() {
  if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs: no webgpu backend");
  await tf.ready();
  return tf.version_core;
}

const CHAINS = {
  matmul(own, { x: [n] }, { w }) {
    const b = own(w, [n, n]);
    return (x) => tf.matMul(x, b);
  },
  linear(own, { widths: [a, b] }, { w, bias }) {
    const weights = [own(w[0], [b, a]), own(w[1], [a, b])];
    const biases = bias.map((values) => own(values));
    return (x, i) =>
      tf.fused.matMul({ a: x, b: weights[i % 2], transposeB: true, bias: biases[i % 2], activation: "linear" });
  },
  conv(own, { x: [, , , c] }, { w, bias }) {
    const filter = tf.tidy(() => tf.transpose(tf.tensor(w, [c, c, 3, 3]), [2, 3, 1, 0]));
    const b = own(bias);
    own.keep(filter);
    return (x) => tf.fused.conv2d({ x, filter, strides: 1, pad: "same", bias: b });
  },
  attention(own, { x: [, queries, c], keys, heads }, { k, v }) {
    const d = c / heads;
    const split = (t, tokens) => tf.transpose(tf.reshape(t, [tokens, heads, d]), [1, 0, 2]);
    const [key, value] = [k, v].map((values) => own(values, [1, keys, c]));
    return (x) => {
      const scores = tf.matMul(tf.mul(split(x, queries), 1 / Math.sqrt(d)), split(key, keys), false, true);
      const mixed = tf.matMul(tf.softmax(scores), split(value, keys));
      return tf.reshape(tf.transpose(mixed, [1, 0, 2]), [1, queries, c]);
    };
  },
  groupNorm(own, { x: [n, h, w, c] }, { weight, bias }) {
    const [gamma, beta] = [own(weight), own(bias)];
    return (x) => {
      const groups = tf.reshape(x, [n, h * w, 32, c / 32]);
      const { mean, variance } = tf.moments(groups, [1, 3], true);
      const normed = tf.mul(tf.sub(groups, mean), tf.rsqrt(tf.add(variance, 1e-5)));
      const y = tf.add(tf.mul(tf.reshape(normed, [n, h, w, c]), gamma), beta);
      return tf.mul(y, tf.sigmoid(y));
    };
  },
  layerNorm(own, _, { weight, bias }) {
    const [gamma, beta] = [own(weight), own(bias)];
    return (x) => {
      const { mean, variance } = tf.moments(x, -1, true);
      return tf.add(tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5))), gamma), beta);
    };
  },
  softmax: () => (x) => tf.softmax(x),
};

export async function tfjsCandidate(test, x, inputs) {
  if (!CHAINS[test.op]) return undefined;
  const made = [];
  const own = (values, shape = [values.length]) => own.keep(tf.tensor(values, shape));
  own.keep = (tensor) => {
    made.push(tensor);
    return tensor;
  };
  const step = CHAINS[test.op](own, test, inputs);
  const values = async () => {
    const y = tf.tidy(() => {
      let last = tf.tensor(x, test.x);
      for (let i = 0; i < test.repeat; i++) last = step(last, i);
      return last;
    });
    const data = await y.data();
    y.dispose();
    return data;
  };
  return { name: "tfjs webgpu f32", run: values, values, dispose: () => tf.dispose(made) };
}
