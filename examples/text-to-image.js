// Text to image, image to image and inpainting with the networks of one Stable Diffusion checkpoint.
// Usage: node examples/text-to-image.js [FOLDER [CHECKPOINT]]; the checkpoint is a folder in diffusers' layout
import { mkdir } from "node:fs/promises";
import { StableDiffusion, imageToImage, inpaint, textToImage } from "toile";
import { directory, readImage, readMask, requestDevice, shipped, writePng } from "toile/node";

const [out = "out/examples", given] = process.argv.slice(2);
await mkdir(out, { recursive: true });

/** The small try-on checkpoint has all the parts: a folder may find its files wherever they are. */
function smallCheckpoint() {
  const files = directory(shipped("weights/ootd"));
  const at = (path) => path.replace("unet/", "ootd_hd/checkpoint-36000/unet_garm/");
  const index = JSON.stringify({ _class_name: "StableDiffusionPipeline" });
  return {
    name: "the small checkpoint",
    has: async (path) => path === "model_index.json" || files.has(at(path)),
    open: (path) => files.open(at(path)),
    text: async (path) => (path === "model_index.json" ? index : files.text(at(path))),
  };
}

const device = await requestDevice();
const model = await StableDiffusion.load(given ?? smallCheckpoint(), { device });

const image = await readImage(shipped("examples/images/astronaut.png"));
const maskImage = await readMask(shipped("examples/images/astronaut-mask.png"));
const asked = { prompt: "a red dress on a wooden chair", negativePrompt: "blurry", seed: 1, steps: 4 };
const size = given ? { width: 512, height: 512 } : { width: 64, height: 96 };

const made = {
  text: await textToImage(model)({ ...asked, ...size }),
  image: await imageToImage(model)({ ...asked, ...size, image, strength: 0.5, scheduler: "ddim" }),
  inpaint: await inpaint(model)({ ...asked, ...size, image, maskImage }),
};
for (const [name, { images, seed }] of Object.entries(made)) {
  await writePng(`${out}/${name}.png`, images[0], { text: { seed: String(seed) } });
  console.log(`${out}/${name}.png`);
}
await model.dispose();
device.destroy();
