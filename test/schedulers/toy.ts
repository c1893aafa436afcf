import { Tensor } from "../../src/tensor/tensor.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Scheduler } from "../../src/schedulers/scheduler.ts";

export interface Case {
  readonly scheduler: string;
  readonly config: Record<string, unknown>;
  readonly num_inference_steps: number;
  readonly init_noise_sigma: number;
}

export const STABLE_DIFFUSION = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" };

/** The network of the reference trajectories: tanh(0.7 x) + 0.1 sin(t / 50) · x flipped on its last axis. */
export function toyModel(x: Float32Array, width: number, timestep: number): Float32Array {
  return x.map(
    (v, i) => Math.tanh(0.7 * v) + 0.1 * Math.sin(timestep / 50) * x[i - (i % width) + width - 1 - (i % width)]!,
  );
}

/** One step with the toy model: the sample after it, and what the model saw. */
export async function toyStep(
  device: Device,
  scheduler: Scheduler,
  index: number,
  sample: Float32Array,
  shape: readonly number[],
  stepNoise?: Float32Array,
  prediction = "epsilon",
): Promise<{ input: Float32Array; sample: Float32Array }> {
  const x = Tensor.from(device, sample, shape);
  const scaled = scheduler.scaleModelInput(x, index);
  const input = await scaled.data();
  const timestep = scheduler.timesteps[index]!;
  const epsilon = toyModel(input, shape.at(-1)!, timestep);
  const predicted =
    prediction === "epsilon" ? epsilon : await converted(device, scheduler, timestep, input, epsilon, prediction);
  const output = Tensor.from(device, predicted, shape);
  const noise = stepNoise && Tensor.from(device, stepNoise, shape);
  const moved = scheduler.step(output, index, x, noise ? { noise } : {});
  for (const tensor of [x, scaled, output, noise]) tensor?.dispose(); // what a scheduler needs later it keeps itself
  const result = await moved.data();
  moved.dispose();
  return { input, sample: result };
}

/** What a network of another prediction type says where the toy model says `epsilon`. */
async function converted(
  device: Device,
  scheduler: Scheduler,
  timestep: number,
  input: Float32Array,
  epsilon: Float32Array,
  prediction: string,
): Promise<Float32Array> {
  const [data, noise] = [Tensor.from(device, [1, 0], [2]), Tensor.from(device, [0, 1], [2])];
  const noisy = scheduler.addNoise(data, noise, timestep);
  const level = await noisy.data();
  for (const tensor of [data, noise, noisy]) tensor.dispose();
  const [a, b] = [level[0]! / Math.hypot(...level), level[1]! / Math.hypot(...level)]; // variance-preserving
  const clean = input.map((v, i) => (v - b * epsilon[i]!) / a);
  return prediction === "sample" ? clean : clean.map((v, i) => a * epsilon[i]! - b * v);
}

/** A whole run from `noise`; returns the last sample. */
export async function toyRun(
  device: Device,
  scheduler: Scheduler,
  noise: Float32Array,
  shape: readonly number[],
): Promise<Float32Array> {
  let sample: Float32Array = noise.map((v) => v * scheduler.initNoiseSigma);
  for (let i = 0; i < scheduler.timesteps.length; i++)
    ({ sample } = await toyStep(device, scheduler, i, sample, shape));
  return sample;
}
