import { SCHEDULER_NAMES } from "../schedulers/names.ts";
import { InputError } from "../util/errors.ts";
import type { Category } from "../vision/agnostic.ts";
import { MODELS, type TryOnModel } from "./components.ts";
import { CATEGORIES } from "./conditioning.ts";
import type { TryOnInputs } from "./inputs.ts";
import { checkChoice, checkPicture, shown } from "./check.ts";
import { Trace } from "./trace.ts";

/** Pixels: a smaller picture has no latent left at the UNet's deepest level. */
export const SMALLEST = 64;

/** What a run is asked to do, defaults filled in. */
export interface TryOnSettings {
  readonly category: Category;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly guided: boolean;
  readonly samples: number;
  readonly seed: number;
}

/** Throws unless a try-on of this model and size can be asked for. Needs nothing loaded. */
export function checkTryOn(model: TryOnModel, category: Category, width: number, height: number): void {
  checkChoice("model", model, MODELS);
  checkChoice("category", category, CATEGORIES);
  if (model === "hd" && category !== "upperbody")
    throw new InputError("try-on", `the hd model knows upperbody only, got ${category}: use the dc model`);
  for (const [name, size] of Object.entries({ width, height }))
    if (!Number.isInteger(size) || size < SMALLEST || size % 8 !== 0) {
      const nearest = Number.isFinite(size) ? `; the nearest is ${Math.max(SMALLEST, Math.round(size / 8) * 8)}` : "";
      throw new InputError("try-on", `${name} ${size} is not a multiple of 8 of at least ${SMALLEST}${nearest}`);
    }
}

/** Fills in defaults and draws a seed where none is given. @throws InputError for what cannot be asked for */
export function resolveInputs(model: TryOnModel, inputs: TryOnInputs): TryOnSettings {
  checkOptions(inputs);
  const { category = "upperbody", width = 768, height = 1024, steps = 20, guidanceScale = 2, samples = 1 } = inputs;
  checkTryOn(model, category, width, height);
  if (!Number.isInteger(samples) || samples < 1) throw new InputError("try-on", `${samples} samples`);
  if (!Number.isInteger(steps) || steps < 1) throw new InputError("try-on", `${steps} steps`);
  if (!Number.isFinite(guidanceScale) || guidanceScale < 0)
    throw new InputError("try-on", `guidanceScale ${guidanceScale} is no number from 0 on`);
  if (inputs.noise?.data.some((value) => !Number.isFinite(value)))
    throw new InputError("try-on", "noise holds values that are not finite");
  checkPicture("person", inputs.person, 3);
  checkPicture("garment", inputs.garment, 3);
  for (const [i, more] of (inputs.moreGarments ?? []).entries()) {
    checkChoice(`moreGarments[${i}].category`, more.category ?? "missing", CATEGORIES);
    checkTryOn(model, more.category, width, height);
    checkPicture(`moreGarments[${i}]`, more.garment, 3);
  }
  if (inputs.mask !== undefined) checkPicture("mask", inputs.mask, 1);
  const garments = 1 + (inputs.moreGarments ?? []).length;
  if (inputs.regions && inputs.regions.length !== garments)
    throw new InputError("try-on", `${inputs.regions.length} regions for ${garments} garments`);
  for (const [i, region] of (inputs.regions ?? []).entries()) checkPicture(`regions[${i}]`, region, 1);
  const { seed = -1 } = inputs;
  if (!Number.isSafeInteger(seed) || seed < -1) throw new InputError("try-on", `seed ${seed} is no integer from -1 on`);
  const drawn = seed === -1 ? Math.floor(Math.random() * 2 ** 31) : seed;
  // as published: 1.0 already doubles the batch
  return { category, width, height, steps, guidanceScale, guided: guidanceScale >= 1, samples, seed: drawn };
}

const PARTS = ["face", "hands", "shoes", "hair", "bag"];

/** Plain JavaScript has no types that would tell. */
function checkOptions(inputs: TryOnInputs): void {
  if (typeof inputs !== "object" || inputs === null) throw new InputError("try-on", `called with ${shown(inputs)}`);
  checkChoice("scheduler", inputs.scheduler, Object.keys(SCHEDULER_NAMES));
  checkChoice("maskCombine", inputs.maskCombine, ["replace", "add", "subtract"]);
  checkChoice("maskMode", inputs.maskMode, ["reference", "generous"]);
  checkChoice("fit", inputs.fit, ["pad", "crop", "stretch"]);
  for (const part of Object.keys(inputs.protect ?? {})) checkChoice("protect", part, PARTS);
  for (const name of ["pasteBack", "trimGarment", "repaint"] as const)
    expect(name, inputs[name], (value) => typeof value === "boolean", "true or false");
  for (const name of ["onStep", "onProgress", "onPreview"] as const)
    expect(name, inputs[name], (value) => typeof value === "function", "a function");
  expect("maskGrow", inputs.maskGrow, (value) => Number.isFinite(value) && Number(value) >= 0, "a number from 0 on");
  const isBatch = (value: unknown) => value === "auto" || value === 1 || value === 2;
  expect("guidanceBatch", inputs.guidanceBatch, isBatch, '"auto", 1 or 2');
  const isNoise = (value: unknown) => ArrayBuffer.isView((value as { data?: unknown }).data);
  expect("noise", inputs.noise, (value) => Boolean(value) && isNoise(value), "{ shape, data }");
  expect("signal", inputs.signal, (value) => value instanceof AbortSignal, "an AbortSignal");
  expect("moreGarments", inputs.moreGarments, Array.isArray, "a list of { garment, category }");
  expect("regions", inputs.regions, Array.isArray, "a list of masks");
  const isFusion = (value: unknown) => typeof (value as { fuse?: unknown } | null)?.fuse === "function";
  expect("fusion", inputs.fusion, isFusion, "a strategy, which `fusionNamed` gives");
  expect("trace", inputs.trace, (value) => value instanceof Trace, "a Trace, which `new Trace()` makes");
}

function expect(option: string, value: unknown, holds: (value: unknown) => boolean, what: string): void {
  if (value !== undefined && !holds(value))
    throw new InputError("try-on", `${option} is ${shown(value)}, ${what} is needed`);
}
