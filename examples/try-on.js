// A try-on from a program: one person, two garments. The models are loaded once.
// Usage: node examples/try-on.js [FOLDER]
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { TryOnPipeline } from "toile";
import { readImage, readMask, requestDevice, writePng } from "toile/node";

const out = process.argv[2] ?? "out/examples";
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const picture = (name) => here(`images/${name}.png`);
await mkdir(out, { recursive: true });

const device = await requestDevice();
// the small model that ships; give the published one's folder for photographs
const pipeline = await TryOnPipeline.fromPretrained(here("../weights"), { device, model: "dc" });

const person = await readImage(picture("astronaut"));
const mask = await readMask(picture("astronaut-mask"));
for (const [name, category] of [
  ["striped-shirt", "upperbody"],
  ["dotted-dress", "dress"],
]) {
  const garment = await readImage(picture(name));
  const { images, seed } = await pipeline({
    person,
    garment,
    mask,
    category,
    width: 96,
    height: 128,
    steps: 4,
    seed: 1,
  });
  await writePng(`${out}/${name}.png`, images[0], { text: { seed: String(seed) } });
  console.log(`${out}/${name}.png`);
}
pipeline.dispose();
device.destroy();
