#!/usr/bin/env node
// Puts the small model that ships together: a base folder in the published layout, with the networks of trainings in
// place of its own, everything as float16, and a manifest. Needs `npm run build`.
//
//   node scripts/make-default-model.mjs --out DIR [--base weights] [--vae CHECKPOINT] [--hd CHECKPOINT] [--dc CHECKPOINT]
//     [--ema] [--scaling-factor X] [--name NAME] [--steps N] [--scale X] [--command TEXT]... [--log FILE]...
//     [--limit MB]
//
// CHECKPOINT is a checkpoint-N folder of `toile train-vae` or `toile train`; --ema takes the moving averages in it.
// --scaling-factor goes into the VAE's config: 1 / latent_rms of its validation.jsonl. --command says how it was
// trained and --log copies a log, for the record; --steps and --scale say with what it paints best. UNets of the base
// that do not fit the VAE are left out. A VAE alone makes the folder that `toile train --pretrained_model_name_or_path`
// takes.
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { encodeSafetensors, openSafetensors } from "../dist/index.js";
import { fileSource } from "../dist/node.js";

const { values: options } = parseArgs({
  options: {
    out: { type: "string" },
    base: { type: "string", default: fileURLToPath(new URL("../weights", import.meta.url)) },
    vae: { type: "string" },
    hd: { type: "string" },
    dc: { type: "string" },
    ema: { type: "boolean", default: false },
    "scaling-factor": { type: "string" },
    name: { type: "string", default: "toile-drawn-small" },
    steps: { type: "string", default: "20" },
    scale: { type: "string", default: "2" },
    command: { type: "string", multiple: true, default: [] },
    log: { type: "string", multiple: true, default: [] },
    limit: { type: "string", default: "20" },
  },
});

const CONFIG = "config.json";
const WEIGHTS = "diffusion_pytorch_model.safetensors";
const LARGEST = 65504; // of float16
const UNETS = ["unet_garm", "unet_vton"];
const exists = async (path) => (await stat(path).catch(() => undefined)) !== undefined;
const json = async (path) => JSON.parse(await readFile(path, "utf8"));
const fail = (message) => {
  throw new Error(message);
};

/** A network's folder with its weights as float16. */
async function halve(from, to) {
  if (!(await exists(join(from, CONFIG)))) fail(`${from}: there is no ${CONFIG} in it`);
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  const source = await openSafetensors(await fileSource(join(from, WEIGHTS)));
  const tensors = [];
  for (const { name, dtype, shape } of source.tensors.values()) {
    if (dtype !== "F32") fail(`${from}: ${name} is ${dtype}, a training writes F32`);
    const data = new Float32Array((await source.read(name)).buffer);
    if (!data.every((value) => Math.abs(value) <= LARGEST)) fail(`${from}: ${name} holds values beyond float16`);
    tensors.push({ name, dtype: "F16", shape, data });
  }
  await source.close();
  await writeFile(join(to, WEIGHTS), encodeSafetensors(tensors, { format: "pt" }));
  await cp(join(from, CONFIG), join(to, CONFIG));
}

const part = (checkpoint, name) => join(checkpoint, options.ema ? `${name}_ema` : name);
const unetFolder = (root, model, name = "") => join(root, `ootd/ootd_${model}/checkpoint-36000`, name);

/** Everything but the manifest. */
async function assemble(out) {
  const isOurs = (path) => !/(^|\/)(README\.md|manifest\.json|training)$/.test(path.slice(options.base.length));
  await cp(options.base, out, { recursive: true, filter: isOurs });
  const vae = join(out, "ootd/vae");
  if (options.vae !== undefined) await halve(part(options.vae, "vae"), vae);
  const vaeConfig = await json(join(vae, CONFIG));
  if (options["scaling-factor"] !== undefined) {
    const factor = Number(options["scaling-factor"]);
    if (!(factor > 0 && Number.isFinite(factor))) fail(`--scaling-factor ${options["scaling-factor"]} is no factor`);
    await writeFile(join(vae, CONFIG), `${JSON.stringify({ ...vaeConfig, scaling_factor: factor }, null, 2)}\n`);
  }
  const text = await json(join(out, "ootd/text_encoder", CONFIG));
  for (const model of ["hd", "dc"]) {
    const trained = options[model];
    if (trained !== undefined) for (const name of UNETS) await halve(part(trained, name), unetFolder(out, model, name));
    if (!(await exists(unetFolder(out, model)))) continue; // the base has none
    const unfit = await misfit(out, model, vaeConfig.latent_channels ?? 4, text.hidden_size);
    if (unfit !== undefined && trained !== undefined) fail(`${trained}: ${unfit}`);
    if (unfit === undefined) continue;
    console.error(`make-default-model: note: no ootd_${model}: ${unfit}`);
    await rm(dirname(unetFolder(out, model)), { recursive: true, force: true });
  }
}

/** Why a model's UNets cannot be used beside this VAE and text encoder. */
async function misfit(out, model, latents, width) {
  for (const [i, name] of UNETS.entries()) {
    const config = await json(join(unetFolder(out, model, name), CONFIG));
    const [inputs, wanted] = [config.in_channels, (i + 1) * latents];
    if (inputs !== wanted) return `${name} has in_channels ${inputs}, ${wanted} are needed`;
    if (config.out_channels !== latents) return `${name} has out_channels ${config.out_channels}, not ${latents}`;
    if (config.cross_attention_dim !== width)
      return `${name} has cross_attention_dim ${config.cross_attention_dim}, the text encoder's width is ${width}`;
  }
  return undefined;
}

async function writeManifest(out) {
  const entries = await readdir(out, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const files = [];
  for (const path of paths.sort()) {
    const bytes = await readFile(path);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    files.push({ path: path.slice(out.length + 1), bytes: bytes.length, sha256 });
  }
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total > Number(options.limit) * 1e6) fail(`${total} bytes together, ${options.limit} MB are allowed`);
  const trained = ["hd", "dc"].filter((model) => options[model] !== undefined);
  const licence = "MIT, as the code; ootd/tokenizer is the vocabulary of OpenAI's CLIP (MIT)";
  const sampling = { steps: Number(options.steps), guidanceScale: Number(options.scale) };
  const manifest = { name: options.name, trained, sampling, licence, bytes: total, training: options.command, files };
  await writeFile(join(out, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  return total;
}

async function make() {
  if (options.out === undefined) fail("--out is needed: the folder to make");
  const out = options.out.replace(/\/+$/, "");
  if (await exists(out)) fail(`${out} exists already: give the name of a new folder`);
  const temporary = `${out}.tmp`;
  await rm(temporary, { recursive: true, force: true });
  try {
    await assemble(temporary);
    for (const log of options.log) await cp(log, join(temporary, "training", basename(log)));
    const total = await writeManifest(temporary);
    await rename(temporary, out);
    console.log(`${out}: ${total} bytes`);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

try {
  await make();
} catch (error) {
  console.error(`make-default-model: ${error.message}`);
  process.exitCode = 1;
}
