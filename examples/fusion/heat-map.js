// Which pixels of the garment does each pixel of the person read? Usage: node examples/fusion/heat-map.js [folder]
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { AttentionMaps, TryOnPipeline, attentionSheets, fusionNamed, heatMap } from "toile";
import { readImage, readMask, requestDevice, shipped, writePng } from "toile/node";

const folder = process.argv[2] ?? ".";
await mkdir(folder, { recursive: true });
const device = await requestDevice();
const pipeline = await TryOnPipeline.fromPretrained(shipped("weights"), { device });
const images = shipped("examples/images");

const maps = new AttentionMaps({ points: [{ x: 0.5, y: 0.7 }] }); // the middle of the chest
const { images: results, garments } = await pipeline({
  person: await readImage(join(images, "astronaut.png")),
  garment: await readImage(join(images, "striped-shirt.png")),
  mask: await readMask(join(images, "astronaut-mask.png")),
  fusion: maps.watching(fusionNamed("concat")),
  ...{ width: 64, height: 96, steps: 2, seed: 1 },
});

const readings = await maps.readings(); // one for each block and step
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
for (const { block, timestep, grid, garments: read } of readings)
  console.log(`block ${block}, timestep ${timestep}, ${grid.width}x${grid.height}: ${mean(read[0].share).toFixed(3)}`);

// every block and step on one sheet of each kind …
for (const [name, sheet] of attentionSheets(readings, { person: results[0], garments }))
  await writePng(join(folder, `${name}.png`), sheet);

// … and a single map by hand: what the chest reads in the last block at the last step
const { grid, garments: last } = readings.at(-1);
await writePng(join(folder, "chest.png"), heatMap({ ...grid, values: last[0].points[0] }, garments[0]));
await pipeline.dispose();
device.destroy();
