import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { remoteFolder } from "../../src/checkpoint/remote.ts";
import { Device } from "../../src/gpu/device.ts";
import { Budget } from "../../src/pipelines/budget.ts";
import { planTryOn, PUBLISHED, TYPICAL_GPU, type TryOnNetworks } from "../../src/pipelines/memory.ts";
import { CLIPTextModel } from "../../src/models/clip/text.ts";
import { CLIPVisionModelWithProjection } from "../../src/models/clip/vision.ts";
import { AutoencoderKL } from "../../src/models/vae/vae.ts";
import { UNet2DConditionModel } from "../../src/models/unet/unet.ts";
import { TryOnPipeline } from "../../src/pipelines/try-on.ts";
import { serve } from "../checkpoint/serve.ts";
import { fixture, psnr } from "../helpers.ts";
import { checkpoints, freshDevice, inputsOf } from "./setup.ts";

describe("networks that are loaded when they are needed", () => {
  let device: Device;
  beforeAll(async () => {
    device = await freshDevice();
  });
  afterAll(() => device.destroy());

  test("give the same picture in less memory, twice; the guidance's halves one by one nearly the same", async () => {
    const inputs = { ...(await inputsOf("hd-upperbody")), steps: 2 };
    const load = (offload: "never" | "always") => TryOnPipeline.fromPretrained(checkpoints, { device, offload });
    const resident = await load("never");
    const weights = device.memory.bytes;
    const expected = (await resident(inputs)).images[0]!.data;
    const apart = (await resident({ ...inputs, guidanceBatch: 1 })).images[0]!.data;
    expect(psnr(apart, expected, 255)).toBeGreaterThan(60);
    await resident.dispose();
    expect(device.memory.live).toBe(0);
    const offloaded = await load("always");
    expect(device.memory.bytes).toBe(0); // nothing is loaded before it is needed
    for (let run = 0; run < 2; run++) {
      expect((await offloaded(inputs)).images[0]!.data).toEqual(expected);
      expect(device.memory.bytes).toBeLessThan(weights / 2); // the decoder, and what is kept of the garment
    }
    await offloaded.dispose();
    expect(device.memory.live).toBe(0);
  });

  test("are fetched by the run that needs them, not by the one that is over", async () => {
    const root = fixture("checkpoints");
    const paths = readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name));
    const { url } = await serve(new Map(paths.map((path) => [relative(root, path), readFileSync(path)])));
    let running = new AbortController();
    const folder = await remoteFolder(url, { signal: () => running.signal, retries: 0 });
    const pipeline = await TryOnPipeline.fromPretrained(folder, { device, offload: "always", signal: running.signal });
    const inputs = { ...(await inputsOf("hd-upperbody")), steps: 2, width: 64, height: 64 };
    const run = async (onStep = () => {}) => pipeline({ ...inputs, signal: running.signal, onStep });
    await expect(run(() => running.abort())).rejects.toThrow(/abort/i);
    running = new AbortController();
    expect((await run()).images).toHaveLength(1);
    await pipeline.dispose();
    expect(device.memory.live).toBe(0);
  });

  test("what is planned for is the largest run to come", async () => {
    const offloads = vi.spyOn(Budget.prototype, "offloads").mockReturnValue(true);
    const largest = { width: 1536, height: 2048, samples: 2 };
    const pipeline = await TryOnPipeline.fromPretrained(checkpoints, { device, largest });
    expect(offloads.mock.calls[0]![1]).toMatchObject(largest);
    expect(device.memory.bytes).toBe(0);
    await pipeline.dispose();
    offloads.mockRestore();
  });

  test("an unknown choice is refused", async () => {
    const options = { device, offload: "sometimes" as "auto" };
    await expect(TryOnPipeline.fromPretrained(checkpoints, options)).rejects.toThrow(
      'try-on: offload is "sometimes": there are auto, never, always',
    );
  });
});

test("what does not fit by the plan is offloaded, or runs half by half", () => {
  const question = { width: 384, height: 512, samples: 1, dtype: "f16", guided: true, guidanceBatch: 2 } as const;
  const { peak } = planTryOn(TYPICAL_GPU, question);
  const networks: TryOnNetworks = {
    vae: new AutoencoderKL(PUBLISHED.vae),
    textEncoder: new CLIPTextModel(PUBLISHED.textEncoder),
    imageEncoder: new CLIPVisionModelWithProjection(PUBLISHED.imageEncoder),
    garmentUnet: new UNet2DConditionModel(PUBLISHED.garmentUnet),
    tryOnUnet: new UNet2DConditionModel(PUBLISHED.tryOnUnet),
  };
  const offloads = (memory: number) => new Budget(TYPICAL_GPU, memory).offloads(networks, question);
  expect(offloads(peak.resident)).toBe(false);
  expect(offloads(peak.resident - 1)).toBe(true);
  expect(offloads(1e12)).toBe(false); // nothing to plan
  const batch = (memory: number) => new Budget(TYPICAL_GPU, memory).guidanceBatch(networks, question, true);
  expect([batch(peak.offloaded), batch(peak.offloaded - 1)]).toEqual([2, 1]);
  const budget = new Budget(TYPICAL_GPU, peak.resident);
  budget.offloads(networks, question);
  const record = vi.spyOn(Device.prototype, "record");
  expect([budget.offloads(networks, { ...question }), budget.guidanceBatch(networks, question, true)]).toEqual([
    false,
    2,
  ]);
  expect(record).not.toHaveBeenCalled(); // what was planned is known
  record.mockRestore();
});
