import { InputError } from "../util/errors.ts";

export const LR_SCHEDULERS = [
  "constant",
  "constant_with_warmup",
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
] as const;

/** Names of diffusers' `get_scheduler`. */
export type LRSchedulerName = (typeof LR_SCHEDULERS)[number];

export interface LRScheduleOptions {
  /** Optimiser steps in which the rate grows from zero. `constant` ignores it. */
  readonly warmupSteps?: number;
  /** Optimiser steps of the whole training. */
  readonly totalSteps: number;
  /** Restarts of `cosine_with_restarts`. */
  readonly cycles?: number;
  /** Exponent of `polynomial`, which ends at a rate of 1e-7. */
  readonly power?: number;
  /** The full rate: only `polynomial` depends on it. */
  readonly learningRate: number;
}

const POLYNOMIAL_END = 1e-7;

/**
 * What the learning rate is multiplied by at optimiser step `step`, counted from 0, as diffusers' schedules of the same
 * names define it.
 * @throws InputError for an unknown name
 */
export function lrFactor(name: LRSchedulerName, step: number, options: LRScheduleOptions): number {
  const { warmupSteps = 0, totalSteps, cycles = 1, power = 1, learningRate } = options;
  if (!LR_SCHEDULERS.includes(name))
    throw new InputError("lrFactor", `no schedule named ${name}: there are ${LR_SCHEDULERS.join(", ")}`);
  if (name === "constant") return 1;
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  if (name === "constant_with_warmup") return 1;
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  const left = Math.max(0, 1 - progress);
  switch (name) {
    case "linear":
      return left;
    case "cosine":
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
    case "cosine_with_restarts":
      return progress >= 1 ? 0 : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((cycles * progress) % 1))));
    case "polynomial": {
      if (step > totalSteps) return POLYNOMIAL_END / learningRate;
      return ((learningRate - POLYNOMIAL_END) * left ** power + POLYNOMIAL_END) / learningRate;
    }
  }
}
