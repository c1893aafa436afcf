import { describe, expect, test } from "vitest";
import { CLIPTextModel } from "../../src/models/clip/text.ts";
import { CLIPVisionModelWithProjection } from "../../src/models/clip/vision.ts";
import { Concat } from "../../src/models/unet/fusion.ts";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { AutoencoderKL } from "../../src/models/vae/vae.ts";
import { cast } from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { devices, loadFixture, relErr } from "../helpers.ts";
import { loadTiny, nhwc, upload } from "./checkpoints.ts";

const golden = loadFixture("pipeline/hd-upperbody/expected.safetensors");

describe.each(await devices())("models in the shortest type that $name stores", ({ gpu }) => {
  const dtype = gpu.facts.f16 ? "f16" : "f32";
  const half = (name: string) => cast(upload(gpu, golden.get(name)!), dtype);

  test("text and vision encoders", async () => {
    const file = "model.safetensors";
    const text = await loadTiny(gpu, "ootd/text_encoder", (c) => new CLIPTextModel(c), { file, dtype });
    const vision = await loadTiny(gpu, "clip-vit-large-patch14", (c) => new CLIPVisionModelWithProjection(c), {
      file,
      dtype,
    });
    const ids = golden.get("text.input_ids")!;
    const hidden = gpu.scope(
      () => text.forward(Tensor.from(gpu, Int32Array.from(ids.data), ids.shape)).lastHiddenState,
    );
    const embeds = gpu.scope(() => vision.forward(half("clip.pixel_values")).imageEmbeds);
    expect([hidden.dtype, embeds.dtype]).toEqual([dtype, dtype]);
    const errors = [
      relErr(await hidden.data(), golden.get("text.last_hidden_state")!.data),
      relErr(await embeds.data(), golden.get("clip.image_embeds")!.data),
    ];
    for (const error of errors) expect(error).toBeLessThan(3e-3); // measured in f16 on lavapipe: 7e-4
  });

  test("the try-on network's first step", async () => {
    const unet = await loadTiny(gpu, "ootd/ootd_hd/checkpoint-36000/unet_vton", (c) => new UNet2DConditionModel(c), {
      dtype,
    });
    const garment = [...unet.transformerBlocks().keys()].map((i) => half(`spatial_attn.${i}`));
    const noise = gpu.scope(() => {
      const [time, text] = [
        unet.encodeTime([golden.get("timesteps")!.data[0]!]),
        unet.encodeText(half("prompt_embeds")),
      ];
      return unet.forward(half("unet_vton.step0.input"), time.at(0), text, { fusion: new Concat(garment) });
    });
    const error = relErr(await noise.data(), nhwc(golden.get("noise_pred.0")!).data);
    expect(error).toBeLessThan(6e-3); // measured in f16 on lavapipe: 1.8e-3
  });

  test("the autoencoder's picture", async () => {
    const vae = await loadTiny(gpu, "ootd/vae", (c) => new AutoencoderKL(c), { dtype });
    const latents = nhwc(golden.get("latents.4")!);
    const scaled = latents.data.map((z) => z / vae.config.scaling_factor);
    const decoded = await gpu.scope(() => vae.decode(Tensor.from(gpu, scaled, latents.shape, dtype))).data();
    const error = relErr(
      decoded.map((v) => Math.min(Math.max(v / 2 + 0.5, 0), 1)),
      golden.get("image")!.data,
    );
    expect(error).toBeLessThan(2e-2); // measured in f16 on lavapipe: 8e-3 at the worst pixel
  });
});
