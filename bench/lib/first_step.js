// The first step of the middle-size try-on UNet and later ones, in a process of its own: what compiling costs.
import { Concat, Tensor, UNet2DConditionModel, loadModule } from "../../dist/index.js";
import { requestDevice } from "../../dist/node.js";
import { formulaSource, input } from "./formula.js";

const config = { in_channels: 8, block_out_channels: [128, 256, 512, 512] };
const device = await requestDevice();
const unet = new UNet2DConditionModel(config);
await loadModule(device, unet, formulaSource("unet_vton", unet), { label: "unet_vton", dtype: "f32" });
const given = (name, shape) => Tensor.from(device, input(name, shape), shape);
const sample = given("sample", [2, 32, 24, 8]);
const shrink = [1, 1, 2, 2, 4, 4, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1];
const garment = unet
  .transformerBlocks()
  .map((block, i) => given(`garment.${i}`, [2, 768 / shrink[i] ** 2, block.norm1.weight.shape[0]]));
await device.flush();

const times = [];
const before = device.pipelineCount;
const begin = performance.now();
const text = unet.encodeText(given("text", [2, 2, 768]));
const time = unet.encodeTime([999]);
const fusion = new Concat(garment);
for (let i = 0; i < 4; i++) {
  const start = i === 0 ? begin : performance.now();
  device.scope(() => void unet.forward(sample, time.at(0), text, { fusion }));
  await device.flush();
  times.push(performance.now() - start);
}
console.log(
  JSON.stringify({
    pipelines: device.pipelineCount - before,
    compileMs: times[0] - Math.min(...times.slice(1)),
    times,
  }),
);
process.exit(0);
