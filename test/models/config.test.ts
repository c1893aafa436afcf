import { describe, expect, test } from "vitest";
import { CLIPTextModel } from "../../src/models/clip/text.ts";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { AutoencoderKL } from "../../src/models/vae/vae.ts";
import { InputError } from "../../src/util/errors.ts";

const REFUSED: { name: string; build: () => unknown; says: string }[] = [
  {
    name: "class embeddings",
    build: () => new UNet2DConditionModel({ class_embed_type: "timestep" }),
    says: 'class_embed_type is "timestep", only null is supported',
  },
  {
    name: "added conditions",
    build: () => new UNet2DConditionModel({ addition_embed_type: "text_time" }),
    says: "addition_embed_type",
  },
  {
    name: "dual attention",
    build: () => new UNet2DConditionModel({ dual_cross_attention: true }),
    says: "dual_cross_attention is true",
  },
  {
    name: "scale and shift",
    build: () => new UNet2DConditionModel({ resnet_time_scale_shift: "scale_shift" }),
    says: "resnet_time_scale_shift",
  },
  {
    name: "both of two fields",
    build: () => new UNet2DConditionModel({ conv_in_kernel: 1, time_embedding_type: "fourier" }),
    says: "conv_in_kernel is 1, only 3 is supported; time_embedding_type",
  },
  {
    name: "an unknown block",
    build: () => new UNet2DConditionModel({ down_block_types: ["AttnDownBlock2D"] }),
    says: "down_block_types.0",
  },
  {
    name: "a list of another length",
    build: () => new UNet2DConditionModel({ block_out_channels: [32, 64] }),
    says: "4 entries for 2 blocks",
  },
  {
    name: "channels that do not divide",
    build: () => new UNet2DConditionModel({ norm_num_groups: 7 }),
    says: "320 channels do not divide into 7 groups",
  },
  { name: "a count that is text", build: () => new UNet2DConditionModel({ in_channels: "4" }), says: "in_channels" },
  { name: "no object", build: () => new UNet2DConditionModel("sd"), says: "not a JSON object" },
  {
    name: "a VAE without quant_conv",
    build: () => new AutoencoderKL({ use_quant_conv: false }),
    says: "use_quant_conv",
  },
  { name: "another activation", build: () => new CLIPTextModel({ hidden_act: "relu" }), says: "hidden_act" },
];

describe("configurations that are refused", () => {
  test.for(REFUSED)("$name", ({ build, says }) => {
    expect(build).toThrow(InputError);
    expect(build).toThrow(says);
  });
});

test("fields that nobody reads are ignored", () => {
  const { config } = new UNet2DConditionModel({
    _class_name: "UNetVton2DConditionModel",
    upcast_attention: true,
    dropout: 0.5,
    brand_new: 1,
  });
  expect(config).not.toHaveProperty("brand_new");
  expect(config.attention_head_dim).toBe(8);
});
