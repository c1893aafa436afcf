// jax-js as a candidate, on its WebGPU backend: every operator of the chain is a compiled function. An array belongs to who
// uses it last: `ref` keeps it.
import { defaultDevice, init, jit, lax, nn, numpy as np } from "@jax-js/jax";

export async function openJax() {
  const devices = await init("webgpu");
  if (!devices.includes("webgpu")) throw new Error(`jax-js: no webgpu among ${devices.join()}`);
  defaultDevice("webgpu");
}

const array = (values, shape = [values.length]) => np.array(values).reshape(shape);

const CHAINS = {
  matmul: ({ x: [n] }, { w }) => ({ weights: [array(w, [n, n])], fn: (x, b) => np.matmul(x, b) }),
  linear: ({ widths: [a, b] }, { w, bias }) => ({
    weights: [
      [array(w[0], [b, a]), array(bias[0])],
      [array(w[1], [a, b]), array(bias[1])],
    ],
    fn: (x, weight, shift) => np.matmul(x, np.transpose(weight)).add(shift),
  }),
  conv: ({ x: [, h, w, c] }, { w: values, bias }) => ({
    weights: [array(values, [c, c, 3, 3]), array(bias, [c, 1, 1])],
    planes: [1, c, h, w],
    fn: (x, weight, shift) => lax.conv(x, weight, [1, 1], "SAME").add(shift),
  }),
  attention: ({ x: [, queries, c], keys, heads }, { k, v }) => ({
    weights: [k, v].map((values) => array(values, [1, keys, heads, c / heads])),
    fn: (x, key, value) =>
      nn.dotProductAttention(x.reshape([1, queries, heads, c / heads]), key, value).reshape([1, queries, c]),
  }),
  layerNorm: ({ x: [, c] }, { weight, bias }) => ({
    weights: [array(weight, [c]), array(bias, [c])],
    fn: (x, gamma, beta) => nn.standardize(x, -1, { epsilon: 1e-5 }).mul(gamma).add(beta),
  }),
  softmax: () => ({ weights: [], fn: (x) => nn.softmax(x, -1) }),
};

export async function jaxCandidate(test, x, inputs, toPlanes) {
  const chain = CHAINS[test.op]?.(test, inputs);
  if (!chain) return undefined;
  const step = jit(chain.fn);
  const weightsOf = (i) => (Array.isArray(chain.weights[0]) ? chain.weights[i % 2] : chain.weights);
  const given = chain.planes ? toPlanes(x, test.x) : x;
  const run = async () => {
    let last = array(given, chain.planes ?? test.x);
    for (let i = 0; i < test.repeat; i++) last = step(last, ...weightsOf(i).map((weight) => weight.ref));
    return last.data();
  };
  return {
    name: "jax-js webgpu f32",
    run,
    values: async () => (chain.planes ? toPlanes(await run(), test.x, true) : run()),
    dispose() {
      for (const weight of chain.weights.flat()) weight.dispose();
      step.dispose();
    },
  };
}
