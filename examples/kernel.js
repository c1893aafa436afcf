// A kernel of one's own, with its gradient, beside the operators that ship. Its shader is snake.wgsl.
// Usage: node examples/kernel.js
import { readFile } from "node:fs/promises";
import { Tensor, defineKernel, ops, recorded, valueAndGrad } from "toile";
import { requestDevice } from "toile/node";

const WG = 64;
const kernel = defineKernel({
  name: "snake",
  files: { "snake.wgsl": await readFile(new URL("snake.wgsl", import.meta.url), "utf8") },
  spec: { GRADIENT: false, WG },
  params: { vectors: "u32", a: "f32" },
  bind: { x: "read", g: "read", y: "read_write" },
});

/** One run of the kernel over x, f32 of any shape; with `g` the gradient. */
function run(x, a, g) {
  const y = Tensor.empty(x.device, x.shape);
  const vectors = Math.ceil(x.size / 4);
  x.device.run(kernel, {
    spec: { GRADIENT: g !== undefined },
    params: { vectors, a },
    bind: { x: x.view, g: g?.view ?? x.device.nothing, y: y.view },
    groups: Math.ceil(vectors / WG),
  });
  return y;
}

/** x + sin²(a·x) / a: an operator like any other, which tapes know how to go back through. */
const snake = (x, a = 1) =>
  recorded(x.device, { inputs: [x], save: () => ({ x }), backward: (g, { x }) => [run(x, a, g)] }, () => run(x, a));

const device = await requestDevice();
const numbers = [-2, -1, 0, 0.5, 3];
const x = Tensor.from(device, numbers, [5]);
const { value, gradients } = valueAndGrad(device, () => ops.sum(snake(x, 2)), [x]);

const expected = numbers.map((v) => v + Math.sin(2 * v) ** 2 / 2);
const slopes = numbers.map((v) => 1 + Math.sin(4 * v));
const [found, slope] = [await snake(x, 2).data(), await gradients[0].data()];
const worst = (a, b) => Math.max(...b.map((v, i) => Math.abs(v - a[i]))).toExponential(1);
console.log(`sum ${(await value.data())[0].toFixed(4)}`);
console.log(`off by ${worst(found, expected)}, its gradient by ${worst(slope, slopes)}`);
device.destroy();
