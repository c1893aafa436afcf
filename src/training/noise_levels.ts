import { readTraining } from "../schedulers/noise_schedule.ts";
import { Options } from "../schedulers/options.ts";
import type { SchedulerConfig } from "../schedulers/options.ts";

/** Noise levels of the training: √Πα and √(1 − Πα) of every timestep, and the ratio of their squares. */
export interface NoiseLevels {
  readonly count: number;
  readonly signal: Float32Array;
  readonly noise: Float32Array;
  /** Signal to noise ratio. */
  readonly snr: Float32Array;
}

/** Reads a scheduler_config.json's training schedule. */
export function noiseLevels(config: SchedulerConfig): NoiseLevels {
  const { count, alphas } = readTraining(new Options("train", config), {});
  const signal = alphas.map(Math.sqrt);
  const noise = alphas.map((alpha) => Math.sqrt(1 - alpha));
  return { count, signal, noise, snr: alphas.map((alpha) => alpha / (1 - alpha)) };
}

/** Min-SNR-γ weights of an ε-predicting network (Hang et al. 2023, arXiv 2303.09556): min(snr, γ) / snr. */
export const snrWeight = (snr: number, gamma: number): number => Math.min(snr, gamma) / snr;
