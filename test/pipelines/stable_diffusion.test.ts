import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { bytesSource, type ByteSource, type Folder } from "../../src/checkpoint/source.ts";
import { encodeSafetensors } from "../../src/checkpoint/write.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { GenerationInputs, GenerationResult } from "../../src/pipelines/generation.ts";
import { imageToImage } from "../../src/pipelines/image-to-image.ts";
import { inpaint } from "../../src/pipelines/inpaint.ts";
import { StableDiffusion } from "../../src/pipelines/stable-diffusion.ts";
import { StableDiffusionPipeline, textToImage } from "../../src/pipelines/text-to-image.ts";
import { resize } from "../../src/vision/resize.ts";
import { fixture, loadFixture, psnr } from "../helpers.ts";
import { asFolder, layoutFiles, pictures } from "./sd_setup.ts";
import { freshDevice } from "./setup.ts";

interface Case {
  readonly kind: "text" | "image" | "inpaint";
  readonly channels: 4 | 9;
  readonly scheduler: string | null;
  readonly seed: number;
  readonly prompt: string;
  readonly negative_prompt?: string;
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  readonly num_images_per_prompt?: number;
  readonly strength?: number;
}

const expected = loadFixture("stable_diffusion/expected.safetensors");
const cases = JSON.parse(expected.metadata["cases"]!) as Record<string, Case>;
const lora = (name: string): ByteSource => {
  const file = `stable_diffusion/lora_${name}.safetensors`;
  return bytesSource(file, new Uint8Array(readFileSync(fixture(file))));
};

const inputsOf = (described: Case): GenerationInputs => ({
  prompt: described.prompt,
  negativePrompt: described.negative_prompt,
  numInferenceSteps: described.num_inference_steps,
  guidanceScale: described.guidance_scale,
  samples: described.num_images_per_prompt,
  seed: described.seed,
  scheduler: described.scheduler ?? undefined,
});

/** Decibels between all pictures of a result and diffusers'. */
function decibels(name: string, { images }: GenerationResult): number {
  const { shape, data } = expected.get(name)!;
  const pixels = images.flatMap((image) => [...image.data]);
  expect([images.length, images[0]!.height, images[0]!.width, 3]).toEqual(shape);
  return psnr(pixels, data, 255);
}

let device: Device;
let four: StableDiffusion;
let nine: StableDiffusion;
let shown: Awaited<ReturnType<typeof pictures>>;

beforeAll(async () => {
  device = await freshDevice();
  four = await StableDiffusion.load(asFolder(layoutFiles(4)), { device, dtype: "f32" });
  nine = await StableDiffusion.load(asFolder(layoutFiles(9)), { device, dtype: "f32" });
  shown = await pictures();
});
afterAll(async () => {
  await Promise.all([four.dispose(), nine.dispose()]);
  expect(device.memory.live).toBe(0);
  device.destroy();
});

function run(name: string, described: Case): Promise<GenerationResult> {
  const inputs = inputsOf(described);
  const size = { width: 64, height: 64 };
  const { strength } = described;
  if (described.kind === "text") return textToImage(four)({ ...inputs, ...size });
  const image = name.endsWith("-sized") ? resize(shown.person, 48, 72, "nearest") : shown.image;
  if (described.kind === "image") return imageToImage(four)({ ...inputs, image, strength });
  const { maskImage } = shown;
  return inpaint(described.channels === 9 ? nine : four)({ ...inputs, ...size, image, maskImage, strength });
}

describe("pictures equal diffusers'", () => {
  test.for(Object.entries(cases))("%s", async ([name, described]) => {
    const result = await run(name, described);
    expect(decibels(name, result)).toBeGreaterThan(60);
    expect(result.seed).toBe(described.seed);
    expect(result.warnings).toHaveLength(name.endsWith("-long") ? 1 : 0);
  });
});

test("a long prompt is cut, with a warning that counts", async () => {
  const long = Array.from({ length: 90 }, () => "dress").join(" ");
  const small = { width: 32, height: 32, steps: 1, seed: 1 };
  const generate = textToImage(four);
  const { warnings, images } = await generate({ ...small, prompt: long, negativePrompt: long });
  expect(warnings).toEqual([
    expect.stringMatching(/^the prompt has 92 tokens, 77 are read: the last 15 /),
    expect.stringMatching(/^the negative prompt has 92 tokens/),
  ]);
  const cut = await generate({ ...small, prompt: `${long} chair`, negativePrompt: long });
  expect(cut.images).toEqual(images);
});

describe("runs", () => {
  const small = { prompt: "a chair", width: 32, height: 32, steps: 2, seed: 3 };

  test("a seed repeats, a negative prompt counts with guidance alone, given latents are used", async () => {
    const generate = textToImage(four);
    const { images } = await generate(small);
    expect((await generate(small)).images).toEqual(images);
    expect((await generate({ ...small, negativePrompt: "red" })).images).not.toEqual(images);
    const unguided = await generate({ ...small, guidanceScale: 1 });
    expect((await generate({ ...small, guidanceScale: 0, negativePrompt: "red" })).images).toEqual(unguided.images);
    const latents = { shape: [1, 4, 4, 4], data: new Float32Array(64).fill(0.5) };
    expect((await generate({ ...small, latents })).images).not.toEqual(images);
  });

  test("an abort rejects, frees what was made, and the next run works", async () => {
    const generate = textToImage(four);
    await generate(small);
    const { live } = device.memory;
    const controller = new AbortController();
    const { signal } = controller;
    await expect(generate({ ...small, steps: 9, signal, onStep: () => controller.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(device.memory.live).toBe(live);
    expect((await generate(small)).images).toHaveLength(1);
  });

  test("what cannot be done is refused in one line", async () => {
    const [text, image, paint] = [textToImage(four), imageToImage(four), inpaint(nine)];
    const { maskImage } = shown;
    await expect(text(undefined as never)).rejects.toThrow("generate: called with undefined; { prompt: … } is needed");
    await expect(text({ ...small, width: 30 })).rejects.toThrow(/^generate: width 30 is not a multiple of 8 from 8/);
    await expect(text({ ...small, steps: 0 })).rejects.toThrow("generate: 0 steps");
    await expect(text({ ...small, numInferenceSteps: 3 })).rejects.toThrow("steps is 2 and numInferenceSteps 3");
    await expect(text({ ...small, scheduler: "magic" })).rejects.toThrow(/^generate: scheduler is "magic": there are/);
    await expect(text({ ...small, latents: { shape: [1, 4, 8, 8], data: new Float32Array(256) } })).rejects.toThrow(
      "generate: latents are [1, 4, 8, 8], [1, 4, 4, 4] is needed",
    );
    await expect(textToImage(nine)(small)).rejects.toThrow(
      "text to image: the UNet has 9 input channels, 4 are needed",
    );
    const strength = 0.1;
    await expect(image({ ...small, image: shown.image, strength })).rejects.toThrow(
      "generate: strength 0.1 of 2 steps leaves none to run",
    );
    await expect(image({ ...small, image: shown.image, strength: 2 })).rejects.toThrow("strength 2 is not between");
    await expect(paint({ ...small, image: shown.image, maskImage: shown.image as never })).rejects.toThrow(
      /^maskImage:/,
    );
    const black = { ...maskImage, data: new Uint8Array(64 * 64) };
    await expect(paint({ ...small, image: shown.image, maskImage: black })).rejects.toThrow(/^mask:/);
  });

  test("a folder that is no Stable Diffusion checkpoint, or lacks a part, is refused", async () => {
    const files = layoutFiles();
    const load = () => StableDiffusionPipeline.fromPretrained(asFolder(files), { device, dtype: "f32" });
    const { live } = device.memory;
    files.delete("vae/diffusion_pytorch_model.safetensors");
    await expect(load()).rejects.toThrow(/^tiny: no weights at vae\/diffusion_pytorch_model/);
    files.set("model_index.json", new TextEncoder().encode('{"_class_name": "StableDiffusionXLPipeline"}'));
    await expect(load()).rejects.toThrow("tiny: model_index.json is of StableDiffusionXLPipeline");
    files.delete("model_index.json");
    await expect(load()).rejects.toThrow("tiny: model_index.json is missing");
    expect(device.memory.live).toBe(live);
  });

  test("a variant takes the files of that name alone", async () => {
    const files = layoutFiles();
    for (const base of ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]) {
      files.set(`${base}.fp16.safetensors`, files.get(`${base}.safetensors`)!);
      files.set(`${base}.safetensors`, new Uint8Array(9));
    }
    const variant = await StableDiffusionPipeline.fromPretrained(asFolder(files), {
      device,
      dtype: "f32",
      variant: "fp16",
    });
    expect((await variant(small)).images).toEqual((await textToImage(four)(small)).images);
    await variant.dispose();
  });
});

describe("LoRA", () => {
  const inputs = {
    ...inputsOf(cases["text-ddim-unguided"]!),
    guidanceScale: 7.5,
    numInferenceSteps: 3,
    width: 64,
    height: 64,
  };

  test.for(["peft", "diffusers", "kohya"])(
    "%s names: fused as diffusers fuses; taken away bit by bit",
    async (name) => {
      const generate = textToImage(four);
      const plain = await generate(inputs);
      const weight = four.components.unet.mid_block.attentions[0]!.transformer_blocks[0]!.attn1.to_v.weight;
      const bits = await weight.tensor.data();
      const { live } = device.memory;
      expect(await generate.loadLoraWeights(lora(name))).toEqual([]);
      const active = await generate(inputs);
      await generate.fuseLora({ loraScale: 0.7 });
      expect(decibels(`lora-${name}`, await generate(inputs))).toBeGreaterThan(60);
      await expect(generate.setAdapters([])).rejects.toThrow("lora: adapters are fused, adapters cannot be set");
      await generate.unfuseLora();
      expect((await generate(inputs)).images).toEqual(active.images);
      await generate.setAdapters([]);
      expect(await weight.tensor.data()).toEqual(bits);
      expect((await generate(inputs)).images).toEqual(plain.images);
      await generate.setAdapters("default_0", 0.7);
      expect(decibels(`lora-${name}`, await generate(inputs))).toBeGreaterThan(60);
      await generate.unloadLoraWeights();
      expect(await weight.tensor.data()).toEqual(bits);
      expect(device.memory.live).toBe(live);
    },
  );

  test("two adapters add up", async () => {
    const weight = four.components.unet.mid_block.attentions[0]!.transformer_blocks[0]!.attn1.to_v.weight;
    const base = await weight.tensor.data();
    await four.loadLoraWeights(lora("peft"), { adapterName: "a" });
    const one = await weight.tensor.data();
    await four.loadLoraWeights(lora("diffusers"), { adapterName: "b" });
    await four.setAdapters(["a", "b"], [0.5, 1]);
    const both = await weight.tensor.data();
    both.forEach((value, i) => expect(value).toBeCloseTo(base[i]! + 1.5 * (one[i]! - base[i]!), 5));
    await expect(four.setAdapters(["a", "a"], [1, 0.5])).rejects.toThrow('lora: adapter "a" is named twice');
    await expect(four.setAdapters("c")).rejects.toThrow('lora: no adapter "c"; there are a, b');
    await four.unloadLoraWeights();
  });

  const attention = "mid_block.attentions.0.transformer_blocks.0.attn1.to_v";
  const pair = (before: string) => {
    const half = { dtype: "F32", data: new Float32Array(128).fill(0.1) };
    const down = { ...half, shape: [4, 32], name: `${before}${attention}.lora_A.weight` };
    return [down, { ...half, shape: [32, 4], name: `${before}${attention}.lora_B.weight` }];
  };

  test("alpha and its scaling come from the metadata, from PEFT's configuration, or from the caller", async () => {
    const { weight } = four.components.unet.mid_block.attentions[0]!.transformer_blocks[0]!.attn1.to_v;
    const [base] = await weight.tensor.data();
    /** What the update is multiplied with. */
    const scale = async (files: Folder | ByteSource | string, options = {}) => {
      await four.loadLoraWeights(files, options);
      const [now] = await weight.tensor.data();
      const { warnings } = await textToImage(four)({ ...inputs, numInferenceSteps: 1, guidanceScale: 1 });
      await four.unloadLoraWeights();
      return [Math.round(1000 * ((now! - base!) / (4 * 0.01))) / 1000, ...warnings];
    };
    const described = (fields: object) =>
      bytesSource("x.safetensors", encodeSafetensors(pair("unet."), { lora_adapter_metadata: JSON.stringify(fields) }));
    expect(await scale(described({ "unet.lora_alpha": 8 }))).toEqual([2]);
    expect(await scale(described({ "unet.lora_alpha": 8, "unet.use_rslora": true }))).toEqual([4]);
    const peft = encodeSafetensors(pair("base_model.model."));
    const config = (fields: object) =>
      asFolder(
        new Map([
          ["adapter_model.safetensors", peft],
          ["adapter_config.json", new TextEncoder().encode(JSON.stringify(fields))],
        ]),
      );
    expect(await scale(config({ lora_alpha: 12, alpha_pattern: {} }))).toEqual([3]);
    expect(await scale(config({ lora_alpha: 12, use_rslora: true }))).toEqual([6]);
    const folder = mkdtempSync(join(tmpdir(), "toile-lora-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "adapter_model.safetensors"), peft);
    writeFileSync(join(folder, "adapter_config.json"), '{"lora_alpha": 2}');
    expect(await scale(join(folder, "adapter_model.safetensors"))).toEqual([0.5]);
    const alone = bytesSource("alone.safetensors", peft);
    expect(await scale(alone, { alpha: 16 })).toEqual([4]);
    expect(await scale(alone)).toEqual([1, expect.stringMatching(/^alone\.safetensors: neither it nor an adapter_c/)]);
    await expect(scale(alone, { alpha: Number.NaN })).rejects.toThrow("lora: alpha is NaN, a number above 0 is needed");
    await expect(scale(config({ alpha_pattern: { to_q: 3 } }))).rejects.toThrow(
      "its adapter_config.json has an alpha_",
    );
    await expect(scale(asFolder(new Map()))).rejects.toThrow("loadLoraWeights: tiny holds none of adapter_model.safe");
  });

  test("an adapter without a name takes one that is free", async () => {
    const load = (options = {}) =>
      four.loadLoraWeights(bytesSource("x.safetensors", encodeSafetensors(pair("unet."))), options);
    await load({ adapterName: "default_1" });
    for (let i = 0; i < 2; i++) await load();
    await four.setAdapters(["default_0", "default_1", "default_2"]);
    await four.unloadLoraWeights();
  });

  test("names that fit nothing are an error, or are told, and halves and wrong shapes are refused", async () => {
    const half = { dtype: "F32", shape: [2, 32], data: new Float32Array(64) };
    const path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_v";
    const down = { ...half, name: `${path}.lora_A.weight` };
    const up = { ...half, shape: [32, 2], name: `${path}.lora_B.weight` };
    const odd = { ...half, name: "unet.mid_block.nothing.lora_A.weight" };
    const load = (tensors: Parameters<typeof encodeSafetensors>[0], options = {}) =>
      four.loadLoraWeights(bytesSource("x.safetensors", encodeSafetensors(tensors)), options);
    await expect(load([down, up, odd])).rejects.toThrow(/1 faults.*\n {2}unexpected {2}"unet\.mid_block\.nothing/);
    expect(await load([down, up, odd], { strict: false })).toEqual([odd.name]);
    await four.unloadLoraWeights();
    await expect(load([down])).rejects.toThrow("lacks its up tensor");
    await expect(load([down, { ...up, shape: [16, 4] }])).rejects.toThrow("up [16, 4] and down [2, 32] do not make it");
    await expect(load([{ ...half, name: "conv_in.weight" }], { strict: false })).rejects.toThrow("no tensor of it");
  });
});
