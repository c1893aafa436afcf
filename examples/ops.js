// Tensors and operators by themselves: attention over a few tokens, computed on the GPU, freed by its scope.
// Usage: node examples/ops.js
import { Tensor, TorchGenerator, ops } from "toile";
import { requestDevice } from "toile/node";

const device = await requestDevice();
const random = new TorchGenerator(1); // the numbers of torch.Generator().manual_seed(1)
const [batch, tokens, channels, heads] = [1, 6, 32, 4];
const draw = (...shape) => Tensor.from(device, random.randn(shape), shape);

const x = draw(batch, tokens, channels);
const weights = { q: draw(channels, channels), k: draw(channels, channels), v: draw(channels, channels) };

const y = device.scope(() => {
  const normed = ops.layerNorm(x, {
    weight: Tensor.from(device, new Float32Array(channels).fill(1), [channels]),
    bias: Tensor.zeros(device, [channels]),
  });
  const [q, k, v] = ["q", "k", "v"].map((name) => ops.linear(normed, weights[name]));
  return ops.add(x, ops.scaledDotProductAttention(q, k, v, { heads }));
}); // only `y` outlives the scope

const values = await y.data();
console.log(`shape [${y.shape}], first values ${[...values.slice(0, 4)].map((value) => value.toFixed(4)).join(" ")}`);
console.log(`live tensors' memory on ${device.facts.name}: ${device.memory.bytes} bytes`);
device.destroy();
