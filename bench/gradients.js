// Question: what does a backward pass cost beside its forward pass, at the sizes of SD1.5's UNet at 512x384?
// Run: npm run build && node bench/gradients.js [NAME…] [--rounds 7]
// "both" is a forward pass under a tape and its backward pass, with gradients in the input and every weight.
import { parseArgs } from "node:util";
import { ops, Tape, Tensor, TorchGenerator } from "../dist/index.js";
import { requestDevice } from "../dist/node.js";
import { runFacts, writeResult } from "./lib/facts.js";
import { roundRobin } from "./lib/timing.js";

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "7" } },
});

const device = await requestDevice();
const random = new TorchGenerator(0);
const tensor = (...shape) => Tensor.from(device, random.randn(shape), shape);

/** Watched operands and the call. */
const CASES = {
  "conv2d 3x3, 32x24, 320 channels": () => {
    const [x, w, bias] = [tensor(1, 32, 24, 320), ops.packWeight(tensor(320, 320, 3, 3)), tensor(320)];
    return [[x, w, bias], () => ops.conv2d(x, w, { padding: 1, bias })];
  },
  "linear, 768 tokens, 320 to 1280": () => {
    const [x, w, bias] = [tensor(1, 768, 320), ops.packWeight(tensor(1280, 320)), tensor(1280)];
    return [[x, w, bias], () => ops.linear(x, w, { bias })];
  },
  "attention, 768 queries, 1536 keys, 8 heads of 40": () => {
    const [q, k, v] = [tensor(1, 768, 320), tensor(1, 1536, 320), tensor(1, 1536, 320)];
    return [[q, k, v], () => ops.scaledDotProductAttention(q, k, v, { heads: 8 })];
  },
  "groupNorm and SiLU, 64x48, 320 channels": () => {
    const [x, weight, bias] = [tensor(1, 64, 48, 320), tensor(320), tensor(320)];
    return [[x, weight, bias], () => ops.groupNorm(x, 32, { weight, bias, activation: "silu" })];
  },
  "layerNorm, 3072 tokens of 320": () => {
    const [x, weight, bias] = [tensor(1, 3072, 320), tensor(320), tensor(320)];
    return [[x, weight, bias], () => ops.layerNorm(x, { weight, bias })];
  },
  "geglu, 3072 tokens of 1280": () => {
    const x = tensor(1, 3072, 2560);
    return [[x], () => ops.geglu(x)];
  },
};

const rows = [];
for (const [name, make] of Object.entries(CASES)) {
  if (names.length > 0 && !names.some((part) => name.includes(part))) continue;
  const [watched, call] = make();
  const pass = (work) => async () => {
    device.scope(() => void work());
    await device.flush();
  };
  const forward = { run: pass(call) };
  const shape = device.scope(() => call().shape);
  const seed = Tensor.zeros(device, shape);
  const both = {
    run: pass(() => {
      const tape = new Tape(device);
      tape.watch(watched);
      const y = tape.run(call);
      tape.backward(y, watched, seed);
      tape.dispose();
    }),
  };
  const times = await roundRobin([forward, both], { rounds: Number(options.rounds), warmUps: 2 });
  const row = { name, forward: times.get(forward), both: times.get(both) };
  row.ratio = Number((row.both.median / row.forward.median).toFixed(2));
  rows.push(row);
  console.log(`${name}: ${row.forward.median} ms, with gradients ${row.both.median} ms, ${row.ratio} times`);
  for (const operand of [...watched, seed]) operand.dispose();
}
writeResult("gradients", { ...runFacts(device), rows });
device.destroy();
