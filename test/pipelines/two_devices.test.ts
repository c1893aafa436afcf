import { expect, test } from "vitest";
import { readImage, readMask } from "../../src/node/images.ts";
import { requestDevice } from "../../src/node/device.ts";
import { shipped } from "../../src/node/package.ts";
import { TryOnPipeline } from "../../src/pipelines/try-on.ts";

// Nothing is global: two devices, each with pipelines of its own, give at the same time what each gives alone.

const person = await readImage(shipped("examples/images/astronaut.png"));
const mask = await readMask(shipped("examples/images/astronaut-mask.png"));
const shirt = await readImage(shipped("examples/images/striped-shirt.png"));
const dress = await readImage(shipped("examples/images/dotted-dress.png"));
const size = { width: 64, height: 64, steps: 2 } as const;
const asked = {
  hd: { person, mask, garment: shirt, seed: 1, ...size },
  dc: { person, mask, garment: dress, category: "dress", seed: 2, ...size },
} as const;

const load = async (model: "hd" | "dc") => {
  const device = await requestDevice();
  return { device, pipeline: await TryOnPipeline.fromPretrained(shipped("weights"), { device, model }) };
};

test("two devices and two pipelines at once do not touch each other", async () => {
  const [hd, dc] = [await load("hd"), await load("dc")];
  const alone = { hd: await hd.pipeline(asked.hd), dc: await dc.pipeline(asked.dc) };
  expect(alone.hd.images[0]!.data).not.toEqual(alone.dc.images[0]!.data);

  const [first, second] = await Promise.all([hd.pipeline(asked.hd), dc.pipeline(asked.dc)]);
  expect(first.images[0]!.data).toEqual(alone.hd.images[0]!.data);
  expect(second.images[0]!.data).toEqual(alone.dc.images[0]!.data);

  // two on one device as well: they take turns, and the end of one is not the end of the other
  const other = await TryOnPipeline.fromPretrained(shipped("weights"), { device: dc.device, model: "hd" });
  const [third, fourth] = await Promise.all([other(asked.hd), dc.pipeline(asked.dc)]);
  expect(third.images[0]!.data).toEqual(alone.hd.images[0]!.data);
  expect(fourth.images[0]!.data).toEqual(alone.dc.images[0]!.data);

  await Promise.all([hd.pipeline.dispose(), other.dispose()]);
  hd.device.destroy();
  await expect(hd.pipeline(asked.hd)).rejects.toThrow(/disposed/);
  const running = dc.pipeline(asked.dc);
  const gone = await requestDevice();
  gone.destroy(); // while the other computes
  expect((await running).images[0]!.data).toEqual(alone.dc.images[0]!.data);
  await dc.pipeline.dispose();
  dc.device.destroy();
});
