import type { Device } from "../gpu/device.ts";
import type { StepShifts, TextKeyValues } from "../models/unet/conditioning.ts";
import { selfOnly, type Fusion } from "../models/unet/fusion.ts";
import type { UNet2DConditionModel } from "../models/unet/unet.ts";
import { cleanTerms, levelOfAlpha } from "../schedulers/prediction.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";
import { add, cast, concat, mul, repeat, slice, weightedSum } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Bag } from "./bag.ts";
import { assertFinite } from "./diagnose.ts";
import type { Trace } from "./trace.ts";

/** What puts the known part of a picture back after each step. */
export interface Repaint {
  /** The picture's latents, scaled as the network knows them: [1 or samples, h, w, c]. */
  readonly clean: Tensor;
  /** [samples, h, w, c]. */
  readonly noise: Tensor;
  /** 1 where the network paints, [1, h, w, 1]. */
  readonly mask: Tensor;
}

export interface DenoiseInputs {
  readonly device: Device;
  readonly dtype: "f32" | "f16";
  readonly unet: UNet2DConditionModel;
  /** Of a batch of 1, or of all samples; with guidance those with the condition first. */
  readonly text: TextKeyValues;
  readonly fusion?: Fusion;
  /** Where each garment may go, [1, h, w, 1]: for the fusion. */
  readonly regions?: readonly Tensor[];
  /** What the network reads beside the latents at every step, in channels after theirs: [1, h, w, c]. */
  readonly extra?: Tensor | undefined;
  readonly scheduler: Scheduler;
  /** The step to begin with; default the first. */
  readonly first?: number;
  /** [samples, h, w, c] f32: the sample before that step, at the scheduler's noise level. */
  readonly latents: Tensor;
  /** Draws noise of the latents' shape, for schedulers that add some at each step. */
  readonly drawNoise: () => Tensor;
  readonly repaint?: Repaint | undefined;
  readonly guided: boolean;
  /** Both halves of the guidance in one batch (2, the default), or one after the other in less memory (1). */
  readonly guidanceBatch?: 1 | 2;
  readonly guidanceScale: number;
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: ((done: number, total: number) => void) | undefined;
  /** Gets the clean latents that each step expects in the end, [samples, h, w, c] f32, on loan until it is done. */
  readonly onExpected?: ((clean: Tensor, done: number, total: number) => Promise<void>) | undefined;
  readonly trace?: Trace | undefined;
}

/**
 * The denoising loop. With guidance each step's noise is e(without) + scale · (e(with) − e(without)) (Ho and Salimans
 * 2022, arXiv 2207.12598), both halves in one batch; with `repaint` the region outside the mask is set to the picture's
 * latent at the next noise level after each step. The network is recorded once and replayed at each step, unless its
 * fusion wants to see every pass.
 * @returns the last latents, [samples, h, w, c] f32, the caller's to dispose of
 */
export async function denoise(inputs: DenoiseInputs): Promise<Tensor> {
  const { device, unet, scheduler, first = 0, signal, onStep, onExpected, trace } = inputs;
  const bag = new Bag(device);
  try {
    const timesteps = scheduler.timesteps.slice(first);
    const network = await recordNetwork(inputs, timesteps, bag);
    let latents = bag.run(() => repeat(inputs.latents, 1)); // our own hold on it, given up after the step
    for (const [i, timestep] of timesteps.entries()) {
      signal?.throwIfAborted();
      const predicted = network.run(i, latents);
      const next = bag.run(() => {
        const moved = scheduler.step(guide(predicted, inputs), first + i, latents, { noise: inputs.drawNoise });
        return repainted(moved, inputs, timesteps[i + 1]);
      });
      await trace?.add(`noise_pred.${i}`, predicted);
      const what = `denoise, step ${i + 1} of ${timesteps.length} (timestep ${timestep})`;
      await assertFinite(next, what, unet, () => device.scope(network.predict));
      if (onExpected) {
        const clean = bag.run(() => expected(guide(predicted, inputs), latents, first + i, scheduler));
        await onExpected(clean, i + 1, timesteps.length);
        bag.drop(clean);
      }
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
  /** The network's answer to the latents of one of `timesteps`, [halves · samples, h, w, c] f32. Overwritten by the next. */
  run(step: number, latents: Tensor): Tensor;
  /** The same for the last step's input, not recorded. */
  predict(): Tensor;
}

/** The UNet as a recording, which belongs to `bag` with its inputs. */
async function recordNetwork(inputs: DenoiseInputs, timesteps: readonly number[], bag: Bag): Promise<RecordedNetwork> {
  const {
    device,
    dtype,
    unet,
    text,
    scheduler,
    latents: start,
    regions = [],
    extra,
    first = 0,
    trace,
    guidanceBatch = 2,
  } = inputs;
  const fusion: Fusion = inputs.fusion ?? selfOnly;
  const halves = inputs.guided ? 2 : 1;
  const times = bag.hold(device.scope(() => unet.encodeTime(timesteps).keep()));
  const time = bag.hold(times.chosen().keep());
  const beside = extra && bag.run(() => repeat(cast(extra, dtype), start.shape[0]!));
  const scaled = bag.run(() => Tensor.empty(device, start.shape, dtype));
  if (beside)
    await trace?.add(
      "vton_latents",
      bag.run(() => repeat(beside, halves)),
    );
  const predict = () => predictNoise({ unet, scaled, beside, time, text, fusion, halves, guidanceBatch });
  const before = (timestep: number) =>
    device.scope(() => fusion.before?.({ timesteps: [timestep], alphas: [scheduler.alpha(timestep)], regions }));
  before(timesteps[0]!);
  const recording = fusion.live ? undefined : bag.hold(device.record(predict));
  let last: Tensor | undefined;
  const run = (step: number, latents: Tensor) => {
    device.scope(() => void scaled.assign(cast(scheduler.scaleModelInput(latents, first + step), dtype)));
    time.choose(step);
    if (step > 0) before(timesteps[step]!);
    if (recording) return recording.replay();
    bag.drop(last);
    return (last = bag.run(predict));
  };
  return { run, predict };
}

export interface PredictInputs {
  readonly unet: UNet2DConditionModel;
  /** [samples, h, w, c] as the scheduler scales them. */
  readonly scaled: Tensor;
  /** [samples, h, w, c'] in channels after theirs. */
  readonly beside: Tensor | undefined;
  readonly time: StepShifts;
  readonly text: TextKeyValues;
  readonly fusion: Fusion;
  readonly halves: 1 | 2;
  readonly guidanceBatch: 1 | 2;
}

/** The network's answer for every half and sample, [halves · samples, h, w, c] f32. */
export function predictNoise({ unet, scaled, beside, time, ...inputs }: PredictInputs): Tensor {
  const { text, fusion, halves, guidanceBatch } = inputs;
  const run = (batch: number, half?: number) => {
    const [own, more] = [scaled, beside].map((tensor) => tensor && repeat(tensor, batch));
    const sample = more ? concat([own!, more], 3) : own!;
    const [read, fused] =
      half === undefined ? [text, fusion] : [text.part(half, halves), fusion.part?.(half, halves) ?? fusion];
    return cast(unet.forward(sample, time, read, { fusion: fused }), "f32");
  };
  return scaled.device.scope(() =>
    halves === 2 && guidanceBatch === 1
      ? concat([scaled.device.scope(() => run(1, 0)), scaled.device.scope(() => run(1, 1))], 0)
      : run(halves),
  );
}

/** e(without) + scale · (e(with) − e(without)) of the batch [with…; without…]. A copy: schedulers keep what they get. */
function guide(predicted: Tensor, { guided, guidanceScale }: DenoiseInputs): Tensor {
  if (!guided) return weightedSum([[1, predicted]]);
  const n = predicted.shape[0]! / 2;
  return weightedSum([
    [guidanceScale, slice(predicted, 0, 0, n)],
    [1 - guidanceScale, slice(predicted, 0, n, 2 * n)],
  ]);
}

/** The clean sample that what the network tells at a step stands for. */
function expected(told: Tensor, latents: Tensor, index: number, scheduler: Scheduler): Tensor {
  const level = levelOfAlpha(scheduler.alpha(scheduler.timesteps[index]!));
  const sample = scheduler.scaleModelInput(latents, index);
  return weightedSum(cleanTerms(scheduler.prediction, level, sample, told));
}

/** mask · latents + (1 − mask) · clean at the noise level of the next step (after the last step: without noise). */
function repainted(latents: Tensor, { repaint, scheduler }: DenoiseInputs, next: number | undefined): Tensor {
  if (!repaint) return latents;
  const { clean, noise, mask } = repaint;
  const every = repeat(clean, latents.shape[0]! / clean.shape[0]!);
  const kept = next === undefined ? every : scheduler.addNoise(every, noise, next);
  return add(kept, mul(add(latents, mul(kept, -1)), mask));
}
