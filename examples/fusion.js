// A fusion of one's own: how strongly the garment speaks in each block, the UNet untouched. Usage: node examples/fusion.js
import { fileURLToPath } from "node:url";
import {
  Concat,
  Tensor,
  TorchGenerator,
  UNet2DConditionModel,
  loadModule,
  openSafetensors,
  ops,
  selfOnly,
} from "toile";
import { directory, requestDevice } from "toile/node";

const device = await requestDevice();
const unets = directory(fileURLToPath(new URL("../weights/ootd/ootd_dc/checkpoint-36000", import.meta.url)));

async function load(name) {
  const unet = new UNet2DConditionModel(JSON.parse(await unets.text(`${name}/config.json`)));
  const source = await openSafetensors(await unets.open(`${name}/diffusion_pytorch_model.safetensors`));
  await loadModule(device, unet, source, { label: name, dtype: "f32" });
  await source.close();
  return unet;
}

/** Between the plain network (0) and OOTDiffusion's (1), block by block. */
class Weighed {
  constructor(garmentTokens, weightOf) {
    this.concat = new Concat(garmentTokens);
    this.weightOf = weightOf;
  }

  selfAttention(block, tokens) {
    const weight = this.weightOf(block.index);
    const [plain, dressed] = [selfOnly, this.concat].map((fusion) => fusion.selfAttention(block, tokens));
    return ops.add(ops.mul(plain, 1 - weight), ops.mul(dressed, weight));
  }
}

const [garmentUnet, tryOnUnet] = [await load("unet_garm"), await load("unet_vton")];
const random = new TorchGenerator(1);
const draw = (...shape) => Tensor.from(device, random.randn(shape), shape);
const [garment, sample, prompt] = [
  draw(1, 16, 12, 4),
  draw(1, 16, 12, 8),
  draw(1, 4, tryOnUnet.config.cross_attention_dim),
];

const tokens = device.scope(() =>
  garmentUnet.features(garment, garmentUnet.encodeTime([0]).at(0), garmentUnet.encodeText(prompt)),
);
for (const weight of [0, 0.5, 1]) {
  const noise = device.scope(() => {
    const [time, text] = [tryOnUnet.encodeTime([500]).at(0), tryOnUnet.encodeText(prompt)];
    return tryOnUnet.forward(sample, time, text, { fusion: new Weighed(tokens, () => weight) });
  });
  console.log(`garment at ${weight}: ${(await noise.data()).slice(0, 4).join(" ")}`);
}
device.destroy();
