import { add, mul } from "../tensor/ops.ts";
import { valueAndGrad } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { NonFiniteError } from "../util/errors.ts";
import { AdamW, type AdamWOptions } from "./adamw.ts";
import { nonFiniteLayer } from "./diagnose.ts";
import type { EMAModel } from "./ema.ts";
import { LossScaler } from "./loss_scaler.ts";
import { lrFactor, type LRSchedulerName } from "./lr_scheduler.ts";
import type { Masters, TrainedNetwork } from "./masters.ts";
import { norms } from "./norms.ts";

/** How a training steps. */
export interface TrainerOptions extends AdamWOptions {
  /** AdamW's, before the schedule. */
  readonly learningRate: number;
  /** How the rate changes, under diffusers' names. Default: constant. */
  readonly lrScheduler?: LRSchedulerName;
  /** Optimiser steps in which the rate grows from zero. Default: 0. */
  readonly lrWarmupSteps?: number;
  /** Restarts of `cosine_with_restarts`. Default: 1. */
  readonly lrNumCycles?: number;
  /** Exponent of `polynomial`. Default: 1. */
  readonly lrPower?: number;
  /** Optimiser steps of the whole training: where schedules end. */
  readonly maxTrainSteps: number;
  /** Largest Euclidean norm of all gradients together; larger ones are scaled down to it. */
  readonly maxGradNorm?: number;
  /** Storage type of the networks. */
  readonly dtype?: "f32" | "f16";
  /** The networks, so that an error can name the layer at which numbers went wrong. */
  readonly networks?: readonly TrainedNetwork[];
}

/** What one optimiser step did. */
export interface StepReport {
  /** Counted from 1. */
  readonly step: number;
  /** Mean over the micro-batches. */
  readonly loss: number;
  /** Before clipping. */
  readonly gradNorm: number;
  /** The learning rate of this step. */
  readonly lr: number;
  /** Why the step was not taken: what was not finite. */
  readonly skipped: string | undefined;
  /** What the loss was multiplied by. */
  readonly lossScale: number;
}

const BAD_STEPS = 10;

/**
 * The optimiser's side of a training: gradients of several micro-batches summed, unscaled, checked, clipped, applied.
 * It knows nothing of what is trained.
 */
export class Trainer {
  /** Its moments are part of a checkpoint. */
  readonly optimizer: AdamW;
  /** Its state is part of a checkpoint. */
  readonly scaler: LossScaler;
  readonly #masters: Masters;
  readonly #options: TrainerOptions;
  readonly #ema: EMAModel | undefined;
  #step = 0;
  #badSteps = 0;
  #skippedSteps = 0;

  constructor(masters: Masters, options: TrainerOptions, ema?: EMAModel) {
    this.#masters = masters;
    this.#options = options;
    this.#ema = ema;
    this.optimizer = new AdamW(masters.device, masters.tensors, options);
    this.scaler = new LossScaler(options.dtype ?? "f32");
  }

  /** Steps so far, skipped ones included. */
  get step(): number {
    return this.#step;
  }

  /** Whether the last step was not taken. */
  get isStuck(): boolean {
    return this.#badSteps > 0;
  }

  /** Steps of this trainer that were not taken. */
  get skippedSteps(): number {
    return this.#skippedSteps;
  }

  /** Goes on after `step` steps of an earlier run. */
  resumeAt(step: number): void {
    this.#step = step;
  }

  /**
   * One optimiser step on the mean of the losses.
   * @param losses each records one micro-batch's forward pass and returns its loss, one f32 number
   * @throws NonFiniteError after ten steps in a row whose loss or gradients were not finite, naming the layer at which
   * the last one went wrong; weights and optimiser are those before the ten
   */
  async train(losses: readonly (() => Tensor)[]): Promise<StepReport> {
    const { maxGradNorm } = this.#options;
    const { device } = this.#masters;
    const lr = this.#learningRate();
    const { gradients, loss } = await this.#accumulate(losses);
    try {
      const unscale = 1 / (this.scaler.scale * losses.length);
      const each = await norms(device, [...gradients.values()]);
      const gradNorm = Math.hypot(...each) * unscale;
      const bad = [...gradients.keys()].filter((_, i) => !Number.isFinite(each[i]));
      const finite = Number.isFinite(loss) && bad.length === 0;
      this.#step++;
      const report = { step: this.#step, loss, gradNorm, lr, lossScale: this.scaler.scale };
      this.scaler.update(finite);
      if (!finite) return { ...report, skipped: await this.#skip(loss, bad, losses) };
      this.#badSteps = 0;
      // as torch.nn.utils.clip_grad_norm_
      const clip = maxGradNorm === undefined ? 1 : Math.min(1, maxGradNorm / (gradNorm + 1e-6));
      this.optimizer.step(gradients, { lr, gradientScale: unscale * clip });
      this.#ema?.step();
      return { ...report, skipped: undefined };
    } finally {
      for (const gradient of gradients.values()) gradient.dispose();
    }
  }

  /** Frees the optimiser's moments; masters and networks stay. */
  dispose(): void {
    this.optimizer.dispose();
  }

  #learningRate(): number {
    const { learningRate, lrScheduler = "constant", lrWarmupSteps = 0, maxTrainSteps } = this.#options;
    const { lrNumCycles: cycles = 1, lrPower: power = 1 } = this.#options;
    const schedule = { warmupSteps: lrWarmupSteps, totalSteps: maxTrainSteps, learningRate, cycles, power };
    return learningRate * lrFactor(lrScheduler, this.#step, schedule);
  }

  /** Sums of the scaled gradients over the micro-batches, by the masters' names, and the mean loss. */
  async #accumulate(losses: readonly (() => Tensor)[]): Promise<{ gradients: Map<string, Tensor>; loss: number }> {
    const { device, tensors } = this.#masters;
    const names = [...tensors.keys()];
    const gradients = new Map<string, Tensor>();
    let loss = 0;
    for (const forward of losses) {
      const found = device.scope(() => {
        const scaled = () => {
          this.#masters.bind();
          return mul(forward(), this.scaler.scale);
        };
        const { value, gradients: each } = valueAndGrad(device, scaled, [...tensors.values()]);
        for (const [i, gradient] of each.entries()) if (gradient) this.#add(gradients, names[i]!, gradient);
        return value;
      });
      loss += (await found.data())[0]! / this.scaler.scale / losses.length;
      found.dispose();
    }
    return { gradients, loss };
  }

  #add(gradients: Map<string, Tensor>, name: string, gradient: Tensor): void {
    const before = gradients.get(name);
    gradients.set(name, (before ? add(before, gradient) : gradient).keep());
    before?.dispose();
  }

  async #skip(loss: number, gradients: readonly string[], losses: readonly (() => Tensor)[]): Promise<string> {
    const where = Number.isFinite(loss) ? `the gradient of ${gradients[0]} is not finite` : `the loss is ${loss}`;
    this.#skippedSteps++;
    if (++this.#badSteps < BAD_STEPS) return where;
    const { networks } = this.#options;
    const layer = networks && (await nonFiniteLayer(this.#masters.device, networks, losses, gradients));
    const what = `${BAD_STEPS} steps in a row could not be taken, the last one because ${where}`;
    throw new NonFiniteError("train", layer === undefined ? what : `${what}; ${layer}`);
  }
}
