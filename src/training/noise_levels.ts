import { readTraining } from "../schedulers/noise_schedule.ts";
import { Options } from "../schedulers/options.ts";
import { readPrediction } from "../schedulers/prediction.ts";
import type { SchedulerConfig } from "../schedulers/options.ts";
import { InputError } from "../util/errors.ts";

/** Noise levels of the training: √Πα and √(1 − Πα) of every timestep, and the ratio of their squares. */
export interface NoiseLevels {
  readonly count: number;
  readonly signal: Float32Array;
  readonly noise: Float32Array;
  /** Signal to noise ratio. */
  readonly snr: Float32Array;
  /** What the network is to tell of a noisy sample. */
  readonly prediction: "epsilon" | "v_prediction";
}

/**
 * Reads a scheduler_config.json's training schedule, and from its `prediction_type` what is to be told: the noise ε, or
 * the velocity v (Salimans and Ho 2022, arXiv 2202.00512).
 */
export function noiseLevels(config: SchedulerConfig): NoiseLevels {
  const options = new Options("train", config);
  const { count, alphas } = readTraining(options, {});
  const prediction = readPrediction(options, ["epsilon", "v_prediction"]) as NoiseLevels["prediction"];
  const signal = alphas.map(Math.sqrt);
  const noise = alphas.map((alpha) => Math.sqrt(1 - alpha));
  return { count, signal, noise, snr: alphas.map((alpha) => alpha / (1 - alpha)), prediction };
}

/** Which timesteps a training draws more often than others, in the terms of diffusers' training scripts. */
export interface TimestepBias {
  /** The first or the last `portion` of the timesteps, or those from `begin` up to, not including, `end`. */
  readonly strategy: TimestepBiasStrategy;
  /** How much more often one of them is drawn than one of the others. */
  readonly multiplier: number;
  readonly portion: number;
  readonly begin: number;
  readonly end: number;
}

export const TIMESTEP_BIAS_STRATEGIES = ["none", "earlier", "later", "range"] as const;

export type TimestepBiasStrategy = (typeof TIMESTEP_BIAS_STRATEGIES)[number];

/**
 * Draws timesteps by a bias.
 * @param chances uniform in [0, 1), one for each timestep that is drawn
 * @throws InputError when the range holds no timestep
 */
export function biasedTimesteps(chances: ArrayLike<number>, count: number, bias: TimestepBias): number[] {
  const { strategy, multiplier, portion } = bias;
  const length = Math.floor(portion * count);
  const [begin, end] = {
    none: [0, count],
    earlier: [0, length],
    later: [count - length, count],
    range: [Math.max(bias.begin, 0), Math.min(bias.end, count)],
  }[strategy] as [number, number];
  if (begin >= end) throw new InputError("train", `the timestep bias from ${begin} to ${end} holds none of ${count}`);
  const total = count + (multiplier - 1) * (end - begin);
  return Array.from(chances, (chance) => {
    const at = chance * total; // before the range, in it, or behind it
    if (at < begin) return Math.floor(at);
    const inside = Math.floor((at - begin) / multiplier);
    const t = begin + inside < end ? begin + inside : Math.floor(at - (multiplier - 1) * (end - begin));
    return Math.min(t, count - 1);
  });
}

/** Min-SNR-γ weights (Hang et al. 2023, arXiv 2303.09556): min(snr, γ) / snr for ε, min(snr, γ) / (snr + 1) for v. */
export const snrWeight = (snr: number, gamma: number, prediction: NoiseLevels["prediction"] = "epsilon"): number =>
  Math.min(snr, gamma) / (prediction === "epsilon" ? snr : snr + 1);
