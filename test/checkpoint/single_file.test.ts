import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { CONFIG_KEY, openSingleFile, PARTS, toSingleFile, type Configs } from "../../src/checkpoint/single_file.ts";
import { bytesSource, type TensorSource } from "../../src/checkpoint/source.ts";
import { encodeSafetensors, type TensorToWrite } from "../../src/checkpoint/write.ts";
import { configuredScheduler } from "../../src/schedulers/create.ts";
import { fixture } from "../helpers.ts";
import { asFolder, layoutFiles } from "../pipelines/sd_setup.ts";

interface Reference {
  readonly tensors: number;
  readonly sha256: string;
  /** Module paths: a single file's, and what diffusers' converter makes of them. */
  readonly modules: Readonly<Record<string, string>>;
}

const reference = JSON.parse(readFileSync(fixture("stable_diffusion/single_file.json"), "utf8")) as Reference;
const folder = asFolder(layoutFiles());
const json = async (path: string) => JSON.parse(await folder.text(path)) as Record<string, unknown>;

async function layout(): Promise<{ parts: Record<(typeof PARTS)[number], TensorSource>; configs: Configs }> {
  const parts = {
    unet: await openCheckpoint(folder, "unet/diffusion_pytorch_model"),
    vae: await openCheckpoint(folder, "vae/diffusion_pytorch_model"),
    text_encoder: await openCheckpoint(folder, "text_encoder/model"),
  };
  const [unet, vae, text_encoder] = await Promise.all(PARTS.map((part) => json(`${part}/config.json`)));
  const scheduler = await json("scheduler/scheduler_config.json");
  return { parts, configs: { unet: unet!, vae: vae!, text_encoder: text_encoder!, scheduler } };
}

/** The small checkpoint as one file in memory. */
async function singleTensors(): Promise<TensorToWrite[]> {
  const { parts, configs } = await layout();
  return Promise.all(
    toSingleFile(parts, configs).map(async ({ info, source, from }) => ({ ...info, data: await source.read(from) })),
  );
}
const open = (tensors: readonly TensorToWrite[], metadata: Readonly<Record<string, string>> = {}) =>
  openSafetensors(bytesSource("sd.safetensors", encodeSafetensors(tensors, metadata)));

const stem = (key: string) => key.slice(0, key.lastIndexOf("."));
const hash = (tensors: readonly TensorToWrite[]) => {
  const digest = createHash("sha256");
  for (const { name, shape, data } of [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1)))
    digest.update(`${name} [${shape.join(", ")}]\n`).update(data as Uint8Array);
  return digest.digest("hex");
};

describe("a single file and diffusers' layout", () => {
  test("its names, shapes and bytes are those that diffusers' converter reads", async () => {
    const tensors = await singleTensors();
    expect(tensors).toHaveLength(reference.tensors);
    expect(hash(tensors)).toBe(reference.sha256);
  });

  test("names become what diffusers' converter makes of them, and back", async () => {
    const { parts } = openSingleFile(await open(await singleTensors()));
    const origins = Object.entries(reference.modules);
    const made = new Set([...parts.unet.tensors.keys(), ...parts.vae.tensors.keys()].map(stem));
    expect(made).toEqual(new Set(origins.map(([, diffusers]) => diffusers)));
    const { parts: own, configs } = await layout();
    const back = new Map(toSingleFile(own, configs).map(({ info, from }) => [stem(info.name), stem(from)]));
    for (const [compvis, diffusers] of origins) expect(back.get(compvis)).toBe(diffusers);
  });

  test("there and back every byte and shape is the same", async () => {
    const own = await layout();
    const { parts } = openSingleFile(await open(await singleTensors()));
    for (const part of PARTS) {
      expect(new Set(parts[part].tensors.keys())).toEqual(
        new Set([...own.parts[part].tensors.keys()].filter((key) => !key.endsWith("position_ids"))),
      );
      for (const { name, shape } of parts[part].tensors.values()) {
        expect(own.parts[part].tensors.get(name)!.shape).toEqual(shape);
        expect(Buffer.compare(await parts[part].read(name), await own.parts[part].read(name))).toBe(0);
      }
    }
  });

  test("sizes are inferred; what shapes do not tell is stored or given", async () => {
    const tensors = await singleTensors();
    const { unet, vae, text_encoder: text, scheduler } = openSingleFile(await open(tensors)).configs;
    const own = (await layout()).configs;
    for (const key of ["block_out_channels", "down_block_types", "up_block_types", "layers_per_block", "in_channels"]) {
      expect(unet[key]).toEqual(own.unet[key]);
      expect(vae[key]).toEqual(own.vae[key]);
    }
    expect(unet["cross_attention_dim"]).toBe(32);
    expect(text["num_hidden_layers"]).toBe(2);
    expect(scheduler["_class_name"]).toBe("PNDMScheduler");
    expect(unet["attention_head_dim"]).toBe(8);
    const stored = { [CONFIG_KEY]: JSON.stringify({ unet: { attention_head_dim: 2 } }) };
    expect(openSingleFile(await open(tensors, stored)).configs.unet["attention_head_dim"]).toBe(2);
    const configs = { unet: { attention_head_dim: 4 } };
    expect(openSingleFile(await open(tensors, stored), { configs }).configs.unet["attention_head_dim"]).toBe(4);
  });

  test("another scheduler takes the timesteps that it takes of the published configuration", async () => {
    const { scheduler: config } = openSingleFile(await open(await singleTensors())).configs;
    const timesteps = (name?: string) => {
      const scheduler = configuredScheduler(config, name);
      scheduler.setTimesteps(5);
      return [...scheduler.timesteps];
    };
    // diffusers 0.24: Euler and DPM-Solver take "linspace" where nothing is said, PNDM and DDIM "leading"
    expect(timesteps("euler")).toEqual([999, 749.25, 499.5, 249.75, 0]);
    expect(timesteps("dpmpp-2m")[0]).toBe(999);
    expect(timesteps("ddim")).toEqual([801, 601, 401, 201, 1]);
    expect(timesteps()[0]).toBe(801);
  });

  test("averages are taken when they are asked for, and there are more than 100", async () => {
    const tensors = await singleTensors();
    const averaged = (tensor: TensorToWrite): TensorToWrite => ({
      ...tensor,
      name: `model_ema.${tensor.name.slice("model.".length).replaceAll(".", "")}`,
      data: (tensor.data as Uint8Array).map((byte) => byte ^ 1),
    });
    const ema = tensors.filter(({ name }) => name.startsWith("model.diffusion_model.")).map(averaged);
    const both = await open([...tensors, ...ema]);
    const read = (extractEma: boolean) => openSingleFile(both, { extractEma });
    expect(ema.some(({ name }) => name === "model_ema.diffusion_modelinput_blocks00weight")).toBe(true);
    const name = "conv_in.weight";
    const own = await read(false).parts.unet.read(name);
    expect(await read(true).parts.unet.read(name)).toEqual(own.map((byte) => byte ^ 1));
    const few = await open([...tensors, ...ema.slice(0, 100)]);
    const asked = { extractEma: true };
    expect(() => openSingleFile(few, asked)).toThrow("has moving averages of 100 tensors alone: leave out extractEma");
    const decay = { name: "model_ema.decay", dtype: "F32", shape: [1], data: new Float32Array(1) };
    const alone = await open([...tensors, decay]);
    expect(() => openSingleFile(alone, asked)).toThrow("sd.safetensors: has no moving averages (model_ema.…): leave");
    expect(openSingleFile(alone).parts.unet.tensors.size).toBeGreaterThan(100);
  });
});

describe("what is refused", () => {
  const one = (name: string): TensorToWrite => ({ name, dtype: "F32", shape: [1], data: new Float32Array(1) });

  test("a tensor of nothing known, by its name; leftovers of training are passed over", async () => {
    const tensors = await singleTensors();
    const left = ["betas", "alphas_cumprod_prev", "sqrt_recip_alphas_cumprod", "model_ema.decay", "logvar"].map(one);
    const clean = openSingleFile(await open([...tensors, ...left]));
    expect(clean.parts.unet.tensors.size).toBeGreaterThan(100);
    const odd = await open([...tensors, one("model.diffusion_model.input_blocks.99.0.weight")]);
    expect(() => openSingleFile(odd)).toThrow(
      /1 tensors belong to none.*\n {2}"model\.diffusion_model\.input_blocks\.99/,
    );
  });

  test("other files and other models, in one line", async () => {
    const vae = await open([one("first_stage_model.encoder.conv_in.weight")]);
    expect(() => openSingleFile(vae)).toThrow(/it lacks the UNet \(model\.diffusion_model\.…\), the text encoder/);
    const two = await open([one("cond_stage_model.model.ln_final.weight")]);
    expect(() => openSingleFile(two)).toThrow("its text encoder is that of Stable Diffusion 2 or XL");
    const bad = await open(await singleTensors(), { [CONFIG_KEY]: "[" });
    expect(() => openSingleFile(bad)).toThrow("toile.configs is no JSON object");
  });
});
