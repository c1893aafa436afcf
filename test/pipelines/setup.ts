import { directory } from "../../src/node/files.ts";
import { readImage, readMask } from "../../src/node/images.ts";
import { requestDevice } from "../../src/node/device.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { TryOnInputs } from "../../src/pipelines/inputs.ts";
import { TryOnPipeline } from "../../src/pipelines/try-on.ts";
import type { Category } from "../../src/vision/agnostic.ts";
import { fixture } from "../helpers.ts";

export type RunName = "hd-upperbody" | "dc-upperbody" | "dc-lowerbody" | "dc-dress";

export const checkpoints = directory(fixture("checkpoints"));

/** A device of its own, so that live buffers can be counted. */
export const freshDevice = (options: Parameters<typeof requestDevice>[0] = {}): Promise<Device> =>
  requestDevice(options);

export const load = (device: Device, model: "hd" | "dc", dtype: "f32" | "f16" = "f32"): Promise<TryOnPipeline> =>
  TryOnPipeline.fromPretrained(checkpoints, { device, model, dtype });

/** The pictures and settings of a reference run. */
export async function inputsOf(
  run: RunName,
): Promise<TryOnInputs & Required<Pick<TryOnInputs, "mask">> & Record<"width" | "height", number>> {
  const folder = fixture(`pipeline/${run}`);
  const [person, garment, mask] = await Promise.all([
    readImage(`${folder}/person.png`),
    readImage(`${folder}/garment.png`),
    readMask(`${folder}/mask.png`),
  ]);
  const category = run.slice(3) as Category;
  return { person, garment, mask, category, width: 128, height: 192, steps: 5, seed: run === "dc-lowerbody" ? 43 : 42 };
}
