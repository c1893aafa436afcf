import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { directory } from "../../src/node/files.ts";
import { readImage } from "../../src/node/images.ts";
import { MaskGenerator } from "../../src/pipelines/mask.ts";
import type { TryOnPipeline } from "../../src/pipelines/try-on.ts";
import { EmptyMaskError } from "../../src/util/errors.ts";
import type { GrayImage } from "../../src/vision/image.ts";
import { fixture } from "../helpers.ts";
import { freshDevice, inputsOf, load } from "./setup.ts";

describe("pictures of any shape", () => {
  let device: Device;
  let pipeline: TryOnPipeline;
  beforeAll(async () => {
    device = await freshDevice();
    pipeline = await load(device, "dc");
  });
  afterAll(() => device.destroy());

  test.for(["pad", "crop", "stretch"] as const)("a square photo, %s, and the result put back into it", async (fit) => {
    const person = await readImage(fixture("images/astronaut.png"));
    const { garment } = await inputsOf("dc-upperbody");
    const { width, height } = person;
    const data = Uint8Array.from({ length: width * height }, (_, i) =>
      i % width > 150 && i % width < 350 && i > width * 250 && i < width * 450 ? 255 : 0,
    );
    const mask: GrayImage = { width, height, data };
    const result = await pipeline({
      person,
      garment,
      mask,
      fit,
      width: 96,
      height: 128,
      steps: 1,
      seed: 1,
      pasteBack: true,
    });
    expect([result.images[0]!.width, result.images[0]!.height]).toEqual([96, 128]);
    const [pasted] = result.pasted!;
    expect([pasted!.width, pasted!.height]).toEqual([width, height]);
    expect(pasted!.data.subarray(0, width * 3 * 200)).toEqual(person.data.subarray(0, width * 3 * 200));
    expect(pasted!.data).not.toEqual(person.data);
    expect(result.warnings.join()).toMatch(/3:4/);
  });

  test("without a mask the missing network is named", async () => {
    const { mask: _, ...inputs } = await inputsOf("dc-upperbody");
    await expect(pipeline(inputs)).rejects.toThrow(
      /humanparsing\/parsing_atr\.onnx is missing; without it `toile try-on` works with --mask/,
    );
  });
});

test("a lower body's mask needs the first parsing network alone", async () => {
  const device = await freshDevice();
  const root = directory(fixture("."));
  const generator = new MaskGenerator(device, root);
  const person = await readImage(fixture("images/astronaut.png"));
  // the fixture's networks are random: they find something, or nothing to paint, but never fail otherwise
  const made = await generator
    .generate(person, { model: "dc", category: "lowerbody" })
    .catch((error: unknown) => error);
  if (made instanceof Error) expect(made).toBeInstanceOf(EmptyMaskError);
  else expect(made).toMatchObject({ pose: undefined, mask: { width: 512, height: 512 } });
  await expect(generator.generate(person, { model: "dc", category: "upperbody" })).rejects.toThrow(
    /body_pose_model\.pth is missing/,
  );
  await generator.dispose();
  expect(device.memory.live).toBe(0);
  device.destroy();
});
