import { afterAll, describe, expect, test } from "vitest";
import { CLIPTextModel } from "../../../src/models/clip/text.ts";
import { CLIPVisionModelWithProjection } from "../../../src/models/clip/vision.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { devices, loadFixture, relErr } from "../../helpers.ts";
import { loadTiny, upload } from "../checkpoints.ts";

const RUNS = ["hd-upperbody", "dc-upperbody", "dc-lowerbody", "dc-dress"];
const file = "model.safetensors";

describe.each(await devices())("CLIP on $name", async ({ gpu }) => {
  const text = await loadTiny(gpu, "ootd/text_encoder", (config) => new CLIPTextModel(config), { file });
  const vision = await loadTiny(gpu, "clip-vit-large-patch14", (config) => new CLIPVisionModelWithProjection(config), {
    file,
  });
  afterAll(() => {
    text.dispose();
    vision.dispose();
  });

  test.for(RUNS)("the text encoder equals %s", async (run) => {
    const golden = loadFixture(`pipeline/${run}/expected.safetensors`);
    const { shape, data } = golden.get("text.input_ids")!;
    const { live } = gpu.memory;
    const hidden = gpu.scope(() => text.forward(Tensor.from(gpu, Int32Array.from(data), shape)).lastHiddenState);
    const expected = golden.get("text.last_hidden_state")!;
    expect(hidden.shape).toEqual(expected.shape);
    expect(relErr(await hidden.data(), expected.data)).toBeLessThan(2e-4);
    hidden.dispose();
    expect(gpu.memory.live).toBe(live);
  });

  test.for(["hd-upperbody", "dc-upperbody"])("the vision encoder equals %s", async (run) => {
    const golden = loadFixture(`pipeline/${run}/expected.safetensors`);
    const { live } = gpu.memory;
    const embeds = gpu.scope(() => vision.forward(upload(gpu, golden.get("clip.pixel_values")!)).imageEmbeds);
    const expected = golden.get("clip.image_embeds")!;
    expect(embeds.shape).toEqual(expected.shape);
    expect(relErr(await embeds.data(), expected.data)).toBeLessThan(2e-4);
    embeds.dispose();
    expect(gpu.memory.live).toBe(live);
  });

  test("say which shape they take", () => {
    gpu.scope(() => {
      expect(() => text.forward(Tensor.from(gpu, new Int32Array(78), [1, 78]))).toThrow("[1, 78], [n, at most 77]");
      expect(() => vision.forward(Tensor.zeros(gpu, [1, 64, 64, 3]))).toThrow("[1, 64, 64, 3], [n, 224, 224, 3]");
    });
  });
});
