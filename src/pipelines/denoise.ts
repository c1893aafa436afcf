import type { Device } from "../gpu/device.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";
import { add, cast, concat, mul, repeat, slice, weightedSum } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Bag } from "./bag.ts";
import type { TryOnComponents } from "./components.ts";
import type { GarmentConditioning } from "./conditioning.ts";
import { assertFinite } from "./diagnose.ts";
import type { Trace } from "./trace.ts";

export interface DenoiseInputs {
  readonly device: Device;
  readonly dtype: "f32" | "f16";
  readonly components: TryOnComponents;
  readonly conditioning: GarmentConditioning;
  readonly scheduler: Scheduler;
  /** [samples, h, w, 4] f32: the first sample, before the scheduler scales it, and the noise of the repaint. */
  readonly noise: Tensor;
  /** Draws noise like the first, for schedulers that add some at each step. */
  readonly drawNoise: () => Tensor;
  /** The masked person's latent, unscaled: [1, h, w, 4]. */
  readonly masked: Tensor;
  /** The whole person's latent and the mask that keeps it outside [1, h, w, 1]; none: no repaint. */
  readonly repaint: { readonly original: Tensor; readonly mask: Tensor } | undefined;
  readonly guided: boolean;
  readonly guidanceScale: number;
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: ((done: number, total: number) => void) | undefined;
  readonly trace?: Trace | undefined;
}

/**
 * The denoising loop. With guidance each step's noise is e(zeros) + scale · (e(garment) − e(zeros)), both halves in one
 * batch; after each step the region outside the mask is set to the original's latent at the next noise level. The
 * network is recorded once and replayed at each step.
 * @returns the last latents, [samples, h, w, 4] f32, the caller's to dispose of
 */
export async function denoise(inputs: DenoiseInputs): Promise<Tensor> {
  const { device, scheduler, noise, signal, onStep, trace } = inputs;
  const bag = new Bag(device);
  try {
    const { timesteps } = scheduler;
    const unet = inputs.components.tryOnUnet;
    const network = await recordNetwork(inputs, bag);
    let latents = bag.run(() => mul(noise, scheduler.initNoiseSigma));
    for (const [i, timestep] of timesteps.entries()) {
      signal?.throwIfAborted();
      const predicted = network.run(i, latents);
      const next = bag.run(() =>
        repainted(scheduler.step(guide(predicted, inputs), i, latents, { noise: inputs.drawNoise }), inputs, i),
      );
      await trace?.add(`noise_pred.${i}`, predicted);
      const what = `denoise, step ${i + 1} of ${timesteps.length} (timestep ${timestep})`;
      await assertFinite(next, what, unet, () => device.scope(network.predict));
      bag.drop(latents);
      latents = next;
      await trace?.add(`latents.${i}`, latents);
      onStep?.(i + 1, timesteps.length);
    }
    return bag.release(latents);
  } finally {
    bag.dispose();
  }
}

interface RecordedNetwork {
  /** The network's answer to a step's latents, [halves · samples, h, w, 4] f32. Overwritten by the next. */
  run(step: number, latents: Tensor): Tensor;
  /** The same for the last step's input, not recorded. */
  predict(): Tensor;
}

/** The try-on UNet as a recording, which belongs to `bag` with its inputs. */
async function recordNetwork(inputs: DenoiseInputs, bag: Bag): Promise<RecordedNetwork> {
  const { device, dtype, scheduler, noise, conditioning } = inputs;
  const unet = inputs.components.tryOnUnet;
  const halves = inputs.guided ? 2 : 1;
  const times = bag.hold(device.scope(() => unet.encodeTime(scheduler.timesteps).keep()));
  const time = bag.hold(times.chosen().keep());
  const masked = bag.run(() => repeat(cast(inputs.masked, dtype), halves * noise.shape[0]!));
  const scaled = bag.run(() => Tensor.empty(device, noise.shape, dtype));
  await inputs.trace?.add("vton_latents", masked);
  const { text, fusion } = conditioning;
  const predict = () => {
    const input = concat([repeat(scaled, halves), masked], 3);
    return cast(unet.forward(input, time, text, { fusion }), "f32");
  };
  const recording = bag.hold(device.record(predict));
  const run = (step: number, latents: Tensor) => {
    device.scope(() => void scaled.assign(cast(scheduler.scaleModelInput(latents, step), dtype)));
    time.choose(step);
    return recording.replay();
  };
  return { run, predict };
}

/** e(zeros) + scale · (e(garment) − e(zeros)) of the batch [garment…; zeros…]. A copy: schedulers keep what they get. */
function guide(predicted: Tensor, { guided, guidanceScale }: DenoiseInputs): Tensor {
  if (!guided) return weightedSum([[1, predicted]]);
  const n = predicted.shape[0]! / 2;
  return weightedSum([
    [guidanceScale, slice(predicted, 0, 0, n)],
    [1 - guidanceScale, slice(predicted, 0, n, 2 * n)],
  ]);
}

/** mask · latents + (1 − mask) · original at the noise level of the next step (after the last step: without noise). */
function repainted(latents: Tensor, { repaint, scheduler, noise, components }: DenoiseInputs, index: number): Tensor {
  if (!repaint) return latents;
  const clean = mul(repaint.original, components.vae.config.scaling_factor);
  const next = scheduler.timesteps[index + 1];
  const kept = next === undefined ? clean : scheduler.addNoise(repeat(clean, noise.shape[0]!), noise, next);
  return add(kept, mul(add(latents, mul(kept, -1)), repaint.mask));
}
