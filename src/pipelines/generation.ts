import type { Scheduler } from "../schedulers/create.ts";
import { SCHEDULER_NAMES } from "../schedulers/names.ts";
import { InputError } from "../util/errors.ts";
import type { RgbImage } from "../vision/image.ts";
import type { Listener } from "./phases.ts";
import { checkChoice } from "./check.ts";

/** What every Stable Diffusion pipeline may be asked. Names are diffusers' in camelCase. */
export interface GenerationInputs extends Listener {
  /** What the picture should show. The text encoder reads 77 tokens, start and end included; a warning tells of more. */
  readonly prompt: string;
  /** What guidance leads away from. Default nothing in particular: "". */
  readonly negativePrompt?: string | undefined;
  /** Default 50. */
  readonly steps?: number | undefined;
  /** The same as `steps`. */
  readonly numInferenceSteps?: number | undefined;
  /** How strongly the picture follows the prompt; at 1 and below guidance is off and a step costs half. Default 7.5. */
  readonly guidanceScale?: number | undefined;
  /** Pictures to make. Default 1. */
  readonly samples?: number | undefined;
  /** Of the noise, as `torch.Generator().manual_seed` on the CPU; -1, the default, draws one. */
  readonly seed?: number | undefined;
  /** `ddim`, `euler`, … : see SCHEDULER_NAMES. Default the checkpoint's. */
  readonly scheduler?: string | undefined;
  /** Pixels, multiples of 8. */
  readonly width?: number | undefined;
  /** Pixels, a multiple of 8. */
  readonly height?: number | undefined;
  /** Called after each denoising step, `done` from 1 to `total`. */
  readonly onStep?: ((done: number, total: number) => void) | undefined;
}

/** What a Stable Diffusion pipeline gives. */
export interface GenerationResult {
  /** One for each sample, of `width` × `height`. */
  readonly images: RgbImage[];
  /** Given again, it gives the same pictures. */
  readonly seed: number;
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  /** Denoising steps asked for. */
  readonly steps: number;
  /** As given, or the default. */
  readonly guidanceScale: number;
  /** Storage type of the networks. */
  readonly dtype: "f32" | "f16";
  /** Milliseconds of each phase. */
  readonly timings: Readonly<Record<string, number>>;
  /** One line each about what was asked for and not done, such as a prompt that is too long. */
  readonly warnings: readonly string[];
}

/** What a run is asked to do, defaults filled in. */
export interface GenerationSettings {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly guided: boolean;
  readonly samples: number;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
}

const OP = "generate";
const LARGEST = 8192;

/**
 * Fills in defaults and draws a seed where none is given.
 * @param size the picture's where none is asked for
 * @param multiple what a side must be divisible by
 * @throws InputError for what cannot be asked for
 */
export function resolveGeneration(
  inputs: GenerationInputs,
  size: { readonly width: number; readonly height: number },
  multiple: number,
): GenerationSettings {
  const { prompt, negativePrompt = "", guidanceScale = 7.5, samples = 1, seed = -1 } = inputs;
  const { steps = inputs.numInferenceSteps ?? 50, numInferenceSteps = steps } = inputs;
  const { width = size.width, height = size.height } = inputs;
  for (const [name, text] of Object.entries({ prompt, negativePrompt }))
    if (typeof text !== "string") throw new InputError(OP, `${name} is no text`);
  if (numInferenceSteps !== steps)
    throw new InputError(OP, `steps is ${steps} and numInferenceSteps ${numInferenceSteps}; they mean the same`);
  for (const [name, count] of Object.entries({ steps, samples }))
    if (!Number.isInteger(count) || count < 1) throw new InputError(OP, `${count} ${name}`);
  if (!Number.isFinite(guidanceScale) || guidanceScale < 0)
    throw new InputError(OP, `guidanceScale ${guidanceScale} is no number from 0 on`);
  if (!Number.isSafeInteger(seed) || seed < -1) throw new InputError(OP, `seed ${seed} is no integer from -1 on`);
  for (const [name, pixels] of Object.entries({ width, height }))
    if (!Number.isInteger(pixels) || pixels < multiple || pixels > LARGEST || pixels % multiple !== 0)
      throw new InputError(OP, `${name} ${pixels} is not a multiple of ${multiple} from ${multiple} to ${LARGEST}`);
  checkChoice("scheduler", inputs.scheduler, Object.keys(SCHEDULER_NAMES), OP);
  const drawn = seed === -1 ? Math.floor(Math.random() * 2 ** 31) : seed;
  const guided = guidanceScale > 1;
  return { prompt, negativePrompt, steps, guidanceScale, guided, samples, seed: drawn, width, height };
}

/**
 * The step at which a picture that is to be changed by `strength` enters a run, as diffusers counts it.
 * @throws InputError for a strength that is not within 0…1 or leaves no step
 */
export function firstStep(scheduler: Scheduler, steps: number, strength: number): number {
  if (!(strength >= 0 && strength <= 1)) throw new InputError(OP, `strength ${strength} is not between 0 and 1`);
  const left = Math.min(Math.trunc(steps * strength), steps);
  if (left < 1) throw new InputError(OP, `strength ${strength} of ${steps} steps leaves none to run`);
  return (steps - left) * scheduler.order;
}
