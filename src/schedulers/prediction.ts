import * as ops from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Options } from "./options.ts";
import { combine, type Terms } from "./terms.ts";

/** How a noisy sample is made up: sample = signal · clean + noise · ε. */
export interface Level {
  readonly signal: number;
  readonly noise: number;
}

export type Prediction = "epsilon" | "v_prediction" | "sample";

export function readPrediction(options: Options, choices: readonly Prediction[]): Prediction {
  return options.choice("prediction_type", choices, "epsilon");
}

/** Signal² = 1 / (σ² + 1), noise = σ · signal: the variance-preserving level of a noise ratio σ. */
export function levelOfSigma(sigma: number): Level {
  const signal = 1 / Math.sqrt(sigma * sigma + 1);
  return { signal, noise: sigma * signal };
}

/** Signal² = Πα. */
export function levelOfAlpha(alpha: number): Level {
  return { signal: Math.sqrt(alpha), noise: Math.sqrt(1 - alpha) };
}

/** The clean sample that a model's output stands for; v = signal · ε - noise · clean (Salimans and Ho 2022, eq. 11). */
export function cleanTerms(type: Prediction, { signal, noise }: Level, sample: Tensor, output: Tensor): Terms {
  if (type === "sample") return [[1, output]];
  if (type === "v_prediction") return [[signal, sample], [-noise, output]]; // prettier-ignore
  return [[1 / signal, sample], [-noise / signal, output]]; // prettier-ignore
}

/** The noise that a model's output stands for. */
export function noiseTerms(type: Prediction, { signal, noise }: Level, sample: Tensor, output: Tensor): Terms {
  if (type === "epsilon") return [[1, output]];
  if (type === "v_prediction") return [[signal, output], [noise, sample]]; // prettier-ignore
  return [[1 / noise, sample], [-signal / noise, output]]; // prettier-ignore
}

/** Reads `clip_sample`: the bound of the predicted clean sample, or undefined. Dynamic thresholding is not implemented. */
export function readClip(options: Options, fallback: boolean): number | undefined {
  options.refuse({ thresholding: false });
  const range = options.number("clip_sample_range", 1);
  return options.boolean("clip_sample", fallback) ? range : undefined;
}

/** Terms clamped to ±`range`: unchanged without a range, else computed. */
export function clipped(op: string, terms: Terms, range: number | undefined): Terms {
  return range === undefined ? terms : [[1, ops.clamp(combine(op, terms), -range, range)]];
}
