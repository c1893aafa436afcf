import { InputError } from "../util/errors.ts";
import { DDIMScheduler } from "./ddim.ts";
import { DDPMScheduler } from "./ddpm.ts";
import { DPMSolverMultistepScheduler } from "./dpm_solver.ts";
import { EulerDiscreteScheduler } from "./euler.ts";
import { EulerAncestralDiscreteScheduler } from "./euler_ancestral.ts";
import { HeunDiscreteScheduler } from "./heun.ts";
import { LCMScheduler } from "./lcm.ts";
import type { SchedulerConfig } from "./options.ts";
import { PNDMScheduler } from "./pndm.ts";
import type { NoiseSource, Scheduler } from "./scheduler.ts";
import { UniPCMultistepScheduler } from "./unipc.ts";
import { SCHEDULER_NAMES, type SchedulerName } from "./names.ts";

export type { NoiseSource, Scheduler } from "./scheduler.ts";

const CLASSES = {
  UniPCMultistepScheduler,
  DDIMScheduler,
  PNDMScheduler,
  EulerDiscreteScheduler,
  EulerAncestralDiscreteScheduler,
  DPMSolverMultistepScheduler,
  HeunDiscreteScheduler,
  DDPMScheduler,
  LCMScheduler,
} as const satisfies Record<string, new (config: SchedulerConfig, source?: NoiseSource) => Scheduler>;

/**
 * Builds the scheduler that a diffusers `scheduler_config.json` describes: its `_class_name`, with diffusers' defaults
 * for absent options.
 * @throws InputError for an unknown class, and for options that are not implemented
 */
export function createScheduler(config: SchedulerConfig, source: NoiseSource = {}): Scheduler {
  const name = config?.["_class_name"];
  if (typeof name !== "string" || !Object.hasOwn(CLASSES, name))
    throw new InputError(
      "createScheduler",
      `_class_name is ${JSON.stringify(name)}; known: ${Object.keys(CLASSES).join(", ")}`,
    );
  return new CLASSES[name as keyof typeof CLASSES](config, source);
}

/**
 * A checkpoint's own scheduler, or the one of that name with the checkpoint's values.
 * @throws InputError for an unknown name or class
 */
export function configuredScheduler(config: SchedulerConfig, name?: string, source: NoiseSource = {}): Scheduler {
  return createScheduler(name === undefined ? config : { ...config, ...named(name) }, source);
}

function named(name: string): (typeof SCHEDULER_NAMES)[SchedulerName] {
  if (Object.hasOwn(SCHEDULER_NAMES, name)) return SCHEDULER_NAMES[name as SchedulerName];
  const known = Object.keys(SCHEDULER_NAMES).join(", ");
  throw new InputError("scheduler", `no scheduler ${JSON.stringify(name)}; known: ${known}`);
}

/**
 * The try-on's scheduler: built from the checkpoint's values whatever class they name. UniPC ends at the smallest
 * training σ, as the diffusers release does that the published try-on runs on.
 * @throws InputError for an unknown name
 */
export function tryonScheduler(config: SchedulerConfig, name = "unipc", source: NoiseSource = {}): Scheduler {
  const ending = name === "unipc" ? { final_sigmas_type: "sigma_min" } : {};
  return createScheduler({ ...config, ...named(name), ...ending }, source);
}
