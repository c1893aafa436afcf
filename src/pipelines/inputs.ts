import { InputError } from "../util/errors.ts";
import type { Category, MaskMode, Protection } from "../vision/agnostic.ts";
import type { FitMode } from "../vision/fit.ts";
import type { GrayImage, RgbImage } from "../vision/image.ts";
import type { TryOnModel } from "./components.ts";
import { CATEGORIES } from "./conditioning.ts";
import type { GeneratedMask } from "./mask.ts";
import type { Trace } from "./trace.ts";

export type Phase = "load" | "pose" | "parse" | "mask" | "encode" | "garment" | "denoise" | "decode";

export interface TryOnInputs {
  readonly person: RgbImage;
  readonly garment: RgbImage;
  /** White where the new garment may go, over the person's picture at any size. Without it the mask is generated. */
  readonly mask?: GrayImage;
  /** What a given mask does to the generated one. Default replace: it is used alone, and none is generated. */
  readonly maskCombine?: "replace" | "add" | "subtract";
  /** How the mask is generated; see `agnosticMask`. */
  readonly maskMode?: MaskMode;
  /** Pixels of 384x512 by which a generated mask is widened. */
  readonly maskGrow?: number;
  readonly protect?: Protection;
  /** What is done to a person's picture of another shape than the output's. Default pad; stretch is the published way. */
  readonly fit?: FitMode;
  /** Whether results are put back into the person's picture at its own size (`pasted`). */
  readonly pasteBack?: boolean;
  /** Whether a garment on a plain background is cut out of its photo's margins. */
  readonly trimGarment?: boolean;
  /** Default upperbody, the only one of the hd model. */
  readonly category?: Category;
  /** Pixels, multiples of 8. Default 768 × 1024. */
  readonly width?: number;
  readonly height?: number;
  /** Default 20. */
  readonly steps?: number;
  /** How strongly the result follows the garment; below 1 guidance is off and a step costs half. Default 2. */
  readonly guidanceScale?: number;
  /** Default 1. */
  readonly samples?: number;
  /** Of the noise, as `torch.Generator().manual_seed` on the CPU; -1, the default, draws one. */
  readonly seed?: number;
  /** `unipc` (default), `ddim`, … : see SCHEDULER_NAMES. */
  readonly scheduler?: string;
  /** [samples, 4, height/8, width/8] to begin with instead of the seed's. */
  readonly noise?: { readonly shape: readonly number[]; readonly data: Float32Array };
  /** Whether the person's latent is put back outside the mask after each step. Default true. */
  readonly repaint?: boolean;
  /** Receives every intermediate tensor. */
  readonly trace?: Trace;
  readonly signal?: AbortSignal;
  readonly onStep?: (done: number, total: number) => void;
  readonly onProgress?: (phase: Phase, done: number, total: number) => void;
}

export interface TryOnResult {
  readonly images: RgbImage[];
  /** With `pasteBack`: the person's own picture with each result in it. */
  readonly pasted: RgbImage[] | undefined;
  /** What a generated mask was made from. */
  readonly generated: GeneratedMask | undefined;
  /** One line each about what may spoil the result. */
  readonly warnings: readonly string[];
  readonly mask: GrayImage;
  readonly masked: RgbImage;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly dtype: "f32" | "f16";
  /** Milliseconds of each phase. */
  readonly timings: Readonly<Record<string, number>>;
}

/** Throws unless a try-on of this model and size can be asked for. Needs nothing loaded. */
export function checkTryOn(model: TryOnModel, category: Category, width: number, height: number): void {
  if (!CATEGORIES.includes(category))
    throw new InputError("try-on", `category "${String(category)}": there are ${CATEGORIES.join(", ")}`);
  if (model === "hd" && category !== "upperbody")
    throw new InputError("try-on", `the hd model knows upperbody only, got ${category}: use the dc model`);
  for (const [name, size] of [
    ["width", width],
    ["height", height],
  ] as const)
    if (!Number.isInteger(size) || size < 64 || size % 8 !== 0)
      throw new InputError(
        "try-on",
        `${name} ${size} is not a multiple of 8 of at least 64; the nearest is ${Math.max(64, Math.round(size / 8) * 8)}`,
      );
}

function checkChannels(name: string, image: RgbImage | GrayImage, channels: 1 | 3): void {
  const needed = image.width * image.height * channels;
  if (image.data.length !== needed)
    throw new InputError(
      name,
      `${image.data.length} bytes for ${image.width}x${image.height} pixels, ${channels === 3 ? "RGB" : "grey"} needs ${needed}`,
    );
}

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

/** Fills in defaults and draws a seed where none is given. @throws InputError for what cannot be asked for */
export function resolveInputs(model: TryOnModel, inputs: TryOnInputs): TryOnSettings {
  const { category = "upperbody", width = 768, height = 1024, steps = 20, guidanceScale = 2, samples = 1 } = inputs;
  checkTryOn(model, category, width, height);
  if (!Number.isInteger(samples) || samples < 1) throw new InputError("try-on", `${samples} samples`);
  if (!Number.isFinite(guidanceScale) || guidanceScale < 0)
    throw new InputError("try-on", `guidanceScale ${guidanceScale} is no number from 0 on`);
  if (inputs.noise?.data.some((value) => !Number.isFinite(value)))
    throw new InputError("try-on", "noise holds values that are not finite");
  checkChannels("person", inputs.person, 3);
  checkChannels("garment", inputs.garment, 3);
  if (inputs.mask) checkChannels("mask", inputs.mask, 1);
  const drawn = inputs.seed === undefined || inputs.seed === -1;
  const seed = drawn ? Math.floor(Math.random() * 2 ** 31) : inputs.seed!;
  // as published: 1.0 already doubles the batch
  return { category, width, height, steps, guidanceScale, guided: guidanceScale >= 1, samples, seed };
}
