import { afterAll, expect, test } from "vitest";
import { psnr } from "../../src/evaluation/similarity.ts";
import { requestDevice } from "../../src/node/device.ts";
import { directory } from "../../src/node/files.ts";
import { TryOnPipeline } from "../../src/pipelines/try-on.ts";
import { drawnDataset } from "../../src/training/data/drawn.ts";

const gpu = await requestDevice();
afterAll(() => gpu.destroy());

// GPUs that have half precision take it unasked: numbers beyond its largest would end the first command there.
test.skipIf(!gpu.facts.f16).each(["hd", "dc"] as const)(
  "the shipped %s model paints the same in half precision",
  async (model) => {
    const size = { width: 72, height: 96 };
    const { person, garment, mask, category } = await drawnDataset({
      seed: 3,
      framing: "half",
      mask: { model },
      ...size,
    }).get(0);
    const pictures = [];
    for (const dtype of ["f32", "f16"] as const) {
      const pipeline = await TryOnPipeline.fromPretrained(directory("weights"), { device: gpu, model, dtype });
      const asked = { person, mask, garment, category, ...size, steps: 1, guidanceScale: 1, seed: 1 };
      pictures.push((await pipeline(asked)).images[0]!);
      await pipeline.dispose();
    }
    expect(psnr(pictures[0]!, pictures[1]!)).toBeGreaterThan(50);
  },
);
