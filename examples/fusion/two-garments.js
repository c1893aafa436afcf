// A shirt and trousers in one pass. Usage: node examples/fusion/two-garments.js [folder for the pictures]
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { TryOnPipeline, fusionNamed } from "toile";
import { readImage, readMask, requestDevice, shipped, writePng } from "toile/node";

const folder = process.argv[2] ?? ".";
await mkdir(folder, { recursive: true });
const device = await requestDevice();
const pipeline = await TryOnPipeline.fromPretrained(shipped("weights"), { device, model: "dc" });
const images = shipped("examples/images");
const [person, shirt, trousers] = await Promise.all(
  ["astronaut.png", "striped-shirt.png", "trousers.png"].map((name) => readImage(join(images, name))),
);
const mask = await readMask(join(images, "astronaut-mask.png"));

// concat: every pixel reads both garments; masked: those inside a garment's region alone
for (const name of ["concat", "masked"]) {
  const { images: results } = await pipeline({
    ...{ person, mask, garment: shirt, category: "upperbody" },
    moreGarments: [{ garment: trousers, category: "lowerbody" }],
    fusion: fusionNamed(name),
    ...{ width: 64, height: 96, steps: 2, seed: 1 },
  });
  const file = join(folder, `two-${name}.png`);
  await writePng(file, results[0]);
  console.log(file);
}
await pipeline.dispose();
device.destroy();
