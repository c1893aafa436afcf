// Gradients and training: a net of two layers learns a sine from points of it. Usage: node examples/train.js
import { AdamW, Tensor, TorchGenerator, ops, valueAndGrad } from "toile";
import { requestDevice } from "toile/node";

const device = await requestDevice();
const random = new TorchGenerator(1); // the numbers of torch.Generator().manual_seed(1)
const [points, hidden, steps] = [64, 32, 300];

const x = Tensor.from(
  device,
  Float32Array.from({ length: points }, (_, i) => (6 * i) / points - 3),
  [points, 1],
);
const y = Tensor.from(device, (await x.data()).map(Math.sin), [points, 1]);

// weights are [out, in], as PyTorch's Linear has them
const weights = new Map([
  ["first.weight", Tensor.from(device, random.randn([hidden, 1]), [hidden, 1])],
  ["first.bias", Tensor.from(device, random.randn([hidden]), [hidden])],
  ["second.weight", ops.mul(Tensor.from(device, random.randn([1, hidden]), [1, hidden]), hidden ** -0.5)],
  ["second.bias", Tensor.zeros(device, [1])],
]);
const net = (x) => {
  const [w1, b1, w2, b2] = weights.values();
  return ops.linear(ops.tanh(ops.linear(x, w1, { bias: b1 })), w2, { bias: b2 });
};

const optimizer = new AdamW(device, weights, { weightDecay: 0 });
for (let step = 0; step <= steps; step++) {
  const loss = device.scope(() => {
    const { value, gradients } = valueAndGrad(device, () => ops.mseLoss(net(x), y), [...weights.values()]);
    optimizer.step(new Map([...weights.keys()].map((name, i) => [name, gradients[i]])), { lr: 0.02 });
    return value; // gradients and everything between are freed
  });
  if (step % 100 === 0) console.log(`step ${step}: loss ${(await loss.data())[0].toFixed(5)}`);
  loss.dispose();
}
optimizer.dispose();
device.destroy();
