import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CLIPTextModel } from "../../src/models/clip/text.ts";
import { CLIPVisionModelWithProjection } from "../../src/models/clip/vision.ts";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { AutoencoderKL } from "../../src/models/vae/vae.ts";
import type { Module } from "../../src/nn/module.ts";
import { count } from "../../src/util/shape.ts";
import { fixture, loadFixture } from "../helpers.ts";

const json = (path: string): unknown => JSON.parse(readFileSync(fixture(path), "utf8"));
const shapes = (module: Module) =>
  Object.fromEntries([...module.parameters()].map(([key, { shape }]) => [key, [...shape]]));

const unets = ["hd", "dc"].flatMap((kind) =>
  ["unet_garm", "unet_vton"].map((name) => `ootd/ootd_${kind}/checkpoint-36000/${name}`),
);
const CASES: { folder: string; file: string; build: (config: unknown) => Module }[] = [
  ...unets.map((folder) => ({
    folder,
    file: "diffusion_pytorch_model.safetensors",
    build: (config: unknown) => new UNet2DConditionModel(config),
  })),
  { folder: "ootd/vae", file: "diffusion_pytorch_model.safetensors", build: (config) => new AutoencoderKL(config) },
  { folder: "ootd/text_encoder", file: "model.safetensors", build: (config) => new CLIPTextModel(config) },
  {
    folder: "clip-vit-large-patch14",
    file: "model.safetensors",
    build: (config) => new CLIPVisionModelWithProjection(config),
  },
];

describe("keys and shapes are the checkpoint's", () => {
  test.for(CASES)("$folder", ({ folder, file, build }) => {
    const stored = [...loadFixture(`checkpoints/${folder}/${file}`)].map(([key, { shape }]) => [key, [...shape]]);
    expect(shapes(build(json(`checkpoints/${folder}/config.json`)))).toEqual(Object.fromEntries(stored));
  });
});

describe("the published sizes", () => {
  const size = (module: Module) => {
    const parameters = [...module.parameters()];
    return [parameters.length, parameters.reduce((sum, [, { shape }]) => sum + count(shape), 0)];
  };
  const vision = {
    hidden_size: 1024,
    intermediate_size: 4096,
    num_attention_heads: 16,
    num_hidden_layers: 24,
    patch_size: 14,
    projection_dim: 768,
  };
  const text = {
    hidden_size: 768,
    intermediate_size: 3072,
    num_attention_heads: 12,
    num_hidden_layers: 12,
    hidden_act: "quick_gelu",
  };

  test("Stable Diffusion 1.5", () => {
    expect(size(new UNet2DConditionModel({}))).toEqual([686, 859_520_964]);
    expect(size(new AutoencoderKL({}))).toEqual([248, 83_653_863]);
    expect(size(new CLIPTextModel(text))).toEqual([196, 123_060_480]);
  });

  test("8 and 9 input channels widen the first convolution", () => {
    for (const channels of [8, 9])
      expect(new UNet2DConditionModel({ in_channels: channels }).conv_in.weight.shape).toEqual([320, channels, 3, 3]);
  });

  test("CLIP ViT-L/14, from the configuration of the tower and of the whole model", () => {
    const whole = { projection_dim: 768, vision_config: vision, text_config: text };
    const tower = new CLIPVisionModelWithProjection(vision);
    expect(size(tower)).toEqual([392, 303_966_208]);
    expect(shapes(new CLIPVisionModelWithProjection(whole))).toEqual(shapes(tower));
    expect(shapes(new CLIPTextModel(whole))).toEqual(shapes(new CLIPTextModel(text)));
  });

  test("linear projections and heads by level, as Stable Diffusion 2 has them", () => {
    const unet = new UNet2DConditionModel({
      use_linear_projection: true,
      attention_head_dim: [5, 10, 20, 20],
      cross_attention_dim: 1024,
    });
    expect(size(unet)).toEqual([686, 865_910_724]);
  });
});
