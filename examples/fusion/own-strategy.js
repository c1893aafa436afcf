// A fusion of one's own with weights of its own. Usage: node examples/fusion/own-strategy.js [folder for the pictures]
// This file is a strategy too: toile train --fusion examples/fusion/own-strategy.js --train strategy --drawn 200
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Concat, Linear, Module, TryOnPipeline, fusionNamed, ops, selfOnly } from "toile";
import { readImage, readMask, requestDevice, shipped, writePng } from "toile/node";

/** One number for each token of each block: how much of the garment it lets in. Keys: blocks.0.weight, blocks.0.bias, … */
class Gates extends Module {
  constructor(unet) {
    super();
    this.blocks = unet.transformerBlocks().map(({ norm1 }) => new Linear(norm1.weight.shape[0], 4));
  }
}

const strategy = {
  name: "gated",
  module: (unet) => new Gates(unet),
  fuse({ garments, module }) {
    const dressed = new Concat(...garments.map(({ tokens }) => tokens));
    return {
      /** tokens [n, t, c] → the same shape. */
      selfAttention(block, tokens) {
        const gates = ops.sigmoid(module.blocks[block.index].forward(block.norm1.forward(tokens))); // [n, t, 4]
        const gate = ops.mean(gates, { dims: [2], keepDims: true }); // [n, t, 1]
        const [plain, garment] = [selfOnly, dressed].map((fusion) => fusion.selfAttention(block, tokens));
        return ops.add(plain, ops.mul(ops.sub(garment, plain), gate));
      },
      dispose: () => dressed.dispose(),
    };
  },
};
// oxlint-disable-next-line import/no-default-export -- what --fusion takes
export default strategy;

async function compare(folder) {
  await mkdir(folder, { recursive: true });
  const device = await requestDevice();
  const pipeline = await TryOnPipeline.fromPretrained(shipped("weights"), { device });
  const images = shipped("examples/images");
  const person = await readImage(join(images, "astronaut.png"));
  const garment = await readImage(join(images, "striped-shirt.png"));
  const mask = await readMask(join(images, "astronaut-mask.png"));
  for (const fusion of [fusionNamed("concat"), fusionNamed("masked"), strategy]) {
    const size = { width: 64, height: 96, steps: 2, seed: 1 };
    const result = await pipeline({ person, garment, mask, fusion, ...size });
    const file = join(folder, `${fusion.name}.png`);
    await writePng(file, result.images[0]);
    console.log(file, result.warnings.filter((line) => line.includes("fusion")).join());
  }
  await pipeline.dispose();
  device.destroy();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await compare(process.argv[2] ?? ".");
