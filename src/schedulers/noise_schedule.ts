import { InputError } from "../util/errors.ts";
import type { Options } from "./options.ts";

const f32 = Math.fround;

/** What the network was trained on: Πα per training timestep and σ = √((1 - Πα) / Πα), in float32 as diffusers keeps them. */
export interface Training {
  readonly count: number;
  readonly alphas: Float32Array;
  readonly sigmas: Float32Array;
}

/** Defaults of the options that differ between classes. */
export interface BetaDefaults {
  readonly start?: number;
  readonly end?: number;
  readonly schedule?: "linear" | "scaled_linear";
}

/** Reads the training schedule of Ho et al. 2020 (linear), Rombach et al. 2022 (scaled) or Nichol and Dhariwal 2021 (cosine). */
export function readTraining(options: Options, defaults: BetaDefaults): Training {
  options.refuse({ rescale_betas_zero_snr: false });
  const count = options.integer("num_train_timesteps", 1000, 1, 1e6);
  const betas = readBetas(options, count, defaults);
  const alphas = new Float32Array(count);
  let product = 1; // float64, as PyTorch's cumprod sums up on the CPU
  betas.forEach((beta, i) => (alphas[i] = product *= f32(1 - beta)));
  return { count, alphas, sigmas: alphas.map((alpha) => f32(Math.sqrt(f32(f32(1 - alpha) / alpha)))) };
}

function readBetas(options: Options, count: number, defaults: BetaDefaults): Float32Array {
  const trained = options.numbers("trained_betas");
  if (trained) {
    if (trained.length === count) return Float32Array.from(trained);
    throw new InputError(options.className, `${trained.length} trained_betas for ${count} timesteps`);
  }
  const start = options.number("beta_start", defaults.start ?? 0.0001);
  const end = options.number("beta_end", defaults.end ?? 0.02);
  const schedules = ["linear", "scaled_linear", "squaredcos_cap_v2"] as const;
  switch (options.choice("beta_schedule", schedules, defaults.schedule ?? "linear")) {
    case "linear":
      return linspaceF32(start, end, count);
    case "scaled_linear":
      return linspaceF32(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root);
    case "squaredcos_cap_v2": {
      const survival = (t: number) => Math.cos(((t / count + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
      return Float32Array.from({ length: count }, (_, t) => Math.min(1 - survival(t + 1) / survival(t), 0.999));
    }
  }
}

/** `torch.linspace` in float32: counted from both ends. */
function linspaceF32(start: number, end: number, count: number): Float32Array {
  const [first, last] = [f32(start), f32(end)];
  const step = count > 1 ? f32(f32(last - first) / (count - 1)) : 0;
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? first + step * i : last - step * (count - 1 - i),
  );
}

/** Rounds to the nearest integer, ties to even, as NumPy does. */
export function roundHalfEven(x: number): number {
  const whole = Math.round(x);
  return whole - x === 0.5 && whole % 2 !== 0 ? whole - 1 : whole;
}

export type Spacing = "linspace" | "leading" | "trailing";

export interface SpacingOptions {
  readonly spacing: Spacing;
  readonly offset: number;
}

export function readSpacing(options: Options, fallback: Spacing): SpacingOptions {
  return {
    spacing: options.choice("timestep_spacing", ["linspace", "leading", "trailing"], fallback),
    offset: options.integer("steps_offset", 0),
  };
}

/**
 * Descending timesteps (Lin et al. 2023, table 2).
 * @param extra 1 where the solver counts the end of the last step as a point too
 * @param whole false where linspace keeps its fractions
 */
export function spacedTimesteps(
  { spacing, offset }: SpacingOptions,
  training: number,
  steps: number,
  { extra = 0, whole = true }: { extra?: 0 | 1; whole?: boolean } = {},
): number[] {
  const points = steps + extra;
  const descending = Array.from({ length: steps }, (_, i) => points - 1 - i);
  if (spacing === "leading") return descending.map((k) => k * Math.floor(training / points) + offset);
  if (spacing === "trailing") {
    const delta = training - training / steps - training; // NumPy's arange steps by this difference
    return descending.map((_, i) => roundHalfEven(training + i * delta) - 1);
  }
  const step = points > 1 ? (training - 1) / (points - 1) : 0;
  const exact = descending.map((k, i) => (i === 0 && points > 1 ? training - 1 : k * step));
  return exact.map(whole ? roundHalfEven : f32);
}

/** `values` at a fractional index, by lines between neighbours; held constant outside. */
export function interpolate(values: Float32Array, at: number): number {
  const low = Math.min(Math.max(Math.floor(at), 0), values.length - 1);
  const high = Math.min(low + 1, values.length - 1);
  const slope = values[high]! - values[low]!;
  return values[low]! + slope * Math.min(Math.max(at - low, 0), 1);
}

/** σᵢ = (σmax^⅐ + i/(n-1) (σmin^⅐ - σmax^⅐))⁷ (Karras et al. 2022, eq. 5). */
export function karrasSigmas(smallest: number, largest: number, steps: number): number[] {
  const [from, to] = [largest ** (1 / 7), smallest ** (1 / 7)];
  return Array.from({ length: steps }, (_, i) => (from + (steps > 1 ? i / (steps - 1) : 0) * (to - from)) ** 7);
}

/** The fractional training timestep whose log σ is that of `sigma`, by lines between the training schedule's `logs`. */
export function timestepOfSigma(sigma: number, logs: Float32Array): number {
  const log = Math.log(Math.max(sigma, 1e-10));
  const low = Math.min(
    Math.max(
      logs.findLastIndex((entry) => entry <= log),
      0,
    ),
    Math.max(logs.length - 2, 0),
  );
  const high = Math.min(low + 1, logs.length - 1);
  const weight = high > low ? Math.min(Math.max((logs[low]! - log) / (logs[low]! - logs[high]!), 0), 1) : 0;
  return (1 - weight) * low + weight * high;
}
