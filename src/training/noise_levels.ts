import { readTraining } from "../schedulers/noise_schedule.ts";
import { Options } from "../schedulers/options.ts";
import { readPrediction } from "../schedulers/prediction.ts";
import type { SchedulerConfig } from "../schedulers/options.ts";

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

/** Min-SNR-γ weights (Hang et al. 2023, arXiv 2303.09556): min(snr, γ) / snr for ε, min(snr, γ) / (snr + 1) for v. */
export const snrWeight = (snr: number, gamma: number, prediction: NoiseLevels["prediction"] = "epsilon"): number =>
  Math.min(snr, gamma) / (prediction === "epsilon" ? snr : snr + 1);
