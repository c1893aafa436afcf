// Question: do the real-size networks (Stable Diffusion 1.5's shapes, 860 M parameters each) equal the reference?
// Weights come from a formula, the expected tensors from PyTorch. Run: npm run build && node bench/full_size.js [--dtype f16]
import { readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { execSync } from "node:child_process";
import {
  AutoencoderKL,
  CLIPTextModel,
  CLIPVisionModelWithProjection,
  Concat,
  Tensor,
  UNet2DConditionModel,
  loadModule,
  ops,
} from "../dist/index.js";
import { requestDevice } from "../dist/node.js";
import { formulaSource, input } from "./lib/formula.js";
import { readTensors } from "./lib/tensors.js";

const dtype = process.argv.includes("f16") ? "f16" : "f32";
const expected = readTensors(readFileSync(new URL("./reference/full_size.safetensors", import.meta.url)));
const device = await requestDevice();
const rows = [];
const started = performance.now();

/** Largest difference over the largest expected magnitude. */
function compare(name, actual) {
  const { data } = expected.get(name);
  let worst = 0;
  let largest = 0;
  if (actual.length !== data.length) worst = Infinity;
  for (let i = 0; i < data.length; i++) {
    const difference = Math.abs(actual[i] - data[i]);
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
    largest = Math.max(largest, Math.abs(data[i]));
  }
  rows.push({ name, error: worst / largest });
  console.log(`${name.padEnd(28)} ${(worst / largest).toExponential(2)}`);
}

async function timed(name, work) {
  const start = performance.now();
  const result = await work();
  await device.flush();
  rows.push({ name: `time ${name}`, seconds: (performance.now() - start) / 1000 });
  console.log(`  ${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return result;
}

async function load(prefix, module) {
  await timed(`load ${prefix}`, () =>
    loadModule(device, module, formulaSource(prefix, module), { label: prefix, dtype }),
  );
  return module;
}

/** A formula input given as PyTorch lays it out; images become NHWC. */
function given(name, shape, scale) {
  return device.scope(() => {
    const tensor = ops.cast(Tensor.from(device, input(name, shape, scale), shape), dtype);
    return shape.length === 4 ? ops.permute(tensor, [0, 2, 3, 1]) : tensor;
  });
}

/** Every `step`-th element along each dimension but the first (those of `shape` in NCHW or [n, t, c]). */
function sample({ data, shape }, steps) {
  const picked = [];
  const visit = (dim, offset) => {
    if (dim === shape.length) return picked.push(data[offset]);
    const stride = shape.slice(dim + 1).reduce((a, b) => a * b, 1);
    for (let i = 0; i < shape[dim]; i += steps[dim]) visit(dim + 1, offset + i * stride);
  };
  visit(0, 0);
  return picked;
}

async function planes(tensor) {
  const moved = device.scope(() => ops.permute(tensor, [0, 3, 1, 2]));
  const result = { data: await moved.data(), shape: moved.shape };
  moved.dispose();
  return result;
}

async function encoders() {
  const text = await load(
    "text_encoder",
    new CLIPTextModel({
      vocab_size: 49408,
      hidden_size: 768,
      intermediate_size: 3072,
      num_hidden_layers: 12,
      num_attention_heads: 12,
      max_position_embeddings: 77,
      hidden_act: "quick_gelu",
    }),
  );
  const ids = Int32Array.from(expected.get("text.input_ids").data);
  const hidden = device.scope(() => text.forward(Tensor.from(device, ids, [1, 77])).lastHiddenState);
  compare("text.last_hidden_state", sample({ data: await hidden.data(), shape: hidden.shape }, [1, 4, 1]));
  hidden.dispose();
  text.dispose();
  const vision = await load(
    "image_encoder",
    new CLIPVisionModelWithProjection({
      hidden_size: 1024,
      intermediate_size: 4096,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      patch_size: 14,
      image_size: 224,
      projection_dim: 768,
      hidden_act: "quick_gelu",
    }),
  );
  const embeds = await timed("vision encoder", async () =>
    device.scope(() => vision.forward(given("pixel_values", [1, 3, 224, 224])).imageEmbeds),
  );
  compare("vision.image_embeds", await embeds.data());
  embeds.dispose();
  vision.dispose();
}

async function autoencoder() {
  const vae = await load(
    "vae",
    new AutoencoderKL({
      block_out_channels: [128, 256, 512, 512],
      layers_per_block: 2,
      norm_num_groups: 32,
      latent_channels: 4,
    }),
  );
  const decoded = await timed("vae decode 512x384", async () =>
    device.scope(() => vae.decode(given("vae_latents", [1, 4, 64, 48], 5))),
  );
  compare("vae.decode", sample(await planes(decoded), [1, 1, 3, 3]));
  decoded.dispose();
  const mode = await timed("vae encode 256x192", async () =>
    device.scope(() => vae.encode(given("vae_image", [1, 3, 256, 192], 0.5)).mode()),
  );
  compare("vae.encode_mode_256x192", (await planes(mode)).data);
  mode.dispose();
  vae.dispose();
}

function meanStd(data) {
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  return [mean, Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (data.length - 1))];
}

async function unets() {
  const garment = await load("unet_garm", new UNet2DConditionModel({ in_channels: 4 }));
  const prompt = given("prompt_embeds", [2, 2, 768]);
  const tokens = await timed("garment UNet", async () =>
    device.scope(() =>
      garment.features(
        given("garm_latents", [2, 4, 64, 48], 5),
        garment.encodeTime([0]).at(0),
        garment.encodeText(prompt),
      ),
    ),
  );
  for (const [i, t] of tokens.entries()) {
    const data = await t.data();
    compare(`spatial_attn.${i}.sample`, sample({ data, shape: t.shape }, [1, 97, 7]));
    compare(`spatial_attn.${i}.mean_std`, meanStd(data));
  }
  garment.dispose();
  await device.flush();
  device.trim();
  const tryOn = await load("unet_vton", new UNet2DConditionModel({ in_channels: 8 }));
  const fusion = new Concat(tokens);
  for (const t of [999, 200]) {
    const noise = await timed(`try-on UNet, timestep ${t}`, async () =>
      device.scope(() =>
        tryOn.forward(given(`unet_input.${t}`, [2, 8, 64, 48]), tryOn.encodeTime([t]).at(0), tryOn.encodeText(prompt), {
          fusion,
        }),
      ),
    );
    compare(`noise_pred.${t}`, (await planes(noise)).data);
    noise.dispose();
  }
}

await encoders();
await autoencoder();
await unets();
const worst = Math.max(...rows.filter((row) => row.error !== undefined).map((row) => row.error));
const limit = dtype === "f32" ? 2e-4 : 2e-2;
const result = {
  question: "do the real-size networks equal the reference?",
  commit: execSync("git rev-parse --short HEAD").toString().trim(),
  adapter: device.facts.name,
  description: device.facts.description,
  node: process.version,
  dtype,
  seconds: (performance.now() - started) / 1000,
  peakResidentGB: process.resourceUsage().maxRSS / 2 ** 20,
  peakDeviceGB: device.memory.peak / 2 ** 30,
  worst,
  limit,
  ok: worst <= limit,
  rows,
};
mkdirSync(new URL("./results/", import.meta.url), { recursive: true });
writeFileSync(new URL(`./results/full_size-${dtype}.json`, import.meta.url), `${JSON.stringify(result, null, 2)}\n`);
console.log(
  `worst ${worst.toExponential(2)} of ${limit}; ${result.seconds.toFixed(0)} s, ${result.peakResidentGB.toFixed(1)} GB resident`,
);
device.destroy();
process.exit(result.ok ? 0 : 1);
