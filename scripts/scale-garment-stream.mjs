#!/usr/bin/env node
// Scales what flows through the garment UNets of a folder by a power of two, so that a network whose numbers grew beyond
// float16's largest, 65504, can run in half precision. Needs `npm run build`.
//
//   node scripts/scale-garment-stream.mjs FOLDER FACTOR
//
// The garment UNet's output is not used, only what its blocks read, and all of them normalise first: its residual stream
// has no size of its own, and training is free to let it grow. What writes to the stream from behind a norm is scaled
// whole (conv_in, every conv2 and proj_out), what passes it on linearly only in its bias (conv_shortcut, downsamplers,
// upsamplers), and the norms' epsilon by the factor's square. What is left is the 1e-6 of the attentions' norms, which
// no config holds. The manifest follows.
import { createHash } from "node:crypto";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeSafetensors, openSafetensors } from "../dist/index.js";
import { fileSource } from "../dist/node.js";

const [WEIGHTS, CONFIG] = ["diffusion_pytorch_model.safetensors", "config.json"];
const WHOLE = /^conv_in\.|\.conv2\.|\.proj_out\./;
const BIAS = /\.(conv_shortcut|(down|up)samplers\.0\.conv)\.bias$/;

function fromHalf(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}

/** Written beside, then renamed. */
async function replace(path, content) {
  await writeFile(`${path}.tmp`, content);
  await rename(`${path}.tmp`, path);
}

async function scale(folder, factor) {
  const source = await openSafetensors(await fileSource(join(folder, WEIGHTS)));
  const tensors = [];
  let scaled = 0;
  for (const { name, dtype, shape } of source.tensors.values()) {
    const { buffer } = await source.read(name);
    if (dtype !== "F16" && dtype !== "F32") throw new Error(`${folder}: ${name} is ${dtype}, F16 or F32 is needed`);
    const data = dtype === "F16" ? Float32Array.from(new Uint16Array(buffer), fromHalf) : new Float32Array(buffer);
    const moves = WHOLE.test(name) || BIAS.test(name);
    if (moves) scaled++;
    tensors.push({ name, dtype, shape, data: moves ? data.map((value) => value * factor) : data });
  }
  await source.close();
  const config = JSON.parse(await readFile(join(folder, CONFIG), "utf8"));
  config.norm_eps = (config.norm_eps ?? 1e-5) * factor ** 2;
  await replace(join(folder, WEIGHTS), encodeSafetensors(tensors, { format: "pt" }));
  await replace(join(folder, CONFIG), `${JSON.stringify(config, null, 2)}\n`);
  return scaled;
}

async function renewManifest(root, what) {
  const path = join(root, "manifest.json");
  const manifest = JSON.parse(await readFile(path, "utf8"));
  for (const file of manifest.files) {
    const bytes = await readFile(join(root, file.path));
    Object.assign(file, { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") });
  }
  manifest.bytes = manifest.files.reduce((sum, { bytes }) => sum + bytes, 0);
  manifest.training.push(what);
  await replace(path, `${JSON.stringify(manifest, null, 2)}\n`);
}

const [root, factor] = [process.argv[2], Number(process.argv[3])];
try {
  if (root === undefined || !(factor > 0) || !Number.isInteger(Math.log2(factor)))
    throw new Error("a folder and a power of two are needed");
  for (const model of ["hd", "dc"]) {
    const folder = join(root, `ootd/ootd_${model}/checkpoint-36000/unet_garm`);
    if (!(await stat(folder).catch(() => undefined))) continue;
    console.log(`${folder}: ${await scale(folder, factor)} tensors times ${factor}`);
  }
  await renewManifest(root, `node scripts/scale-garment-stream.mjs weights ${factor}`);
} catch (error) {
  console.error(`scale-garment-stream: ${error.message}`);
  process.exitCode = 1;
}
