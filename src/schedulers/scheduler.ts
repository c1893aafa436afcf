import { Tensor } from "../tensor/tensor.ts";
import { InputError, ShapeError } from "../util/errors.ts";
import { TorchGenerator } from "../util/random.ts";
import { sameShape, show } from "../util/shape.ts";
import { interpolate, readTraining, type BetaDefaults, type Training } from "./noise_schedule.ts";
import type { Options } from "./options.ts";
import { levelOfAlpha, readPrediction, type Level, type Prediction } from "./prediction.ts";
import { combine } from "./terms.ts";

export interface StepOptions {
  /** Standard normal numbers of the sample's shape, or what draws them: asked only by the steps that add noise. */
  readonly noise?: Tensor | (() => Tensor);
}

/** Where a scheduler's own noise comes from, in the order of the tensor's memory: `generator`, or a new one from `seed` (0). */
export interface NoiseSource {
  readonly generator?: TorchGenerator;
  readonly seed?: number | bigint;
}

/**
 * Walks a sample from noise to data. Everything is element-wise, so samples may have any shape. Coefficients are float64
 * on the host; a step is one to three small kernels. Made by `createScheduler`.
 */
export interface Scheduler {
  /** What the network is told at each step; empty before `setTimesteps`. May be longer than the number of steps asked for. */
  readonly timesteps: readonly number[];
  /** How many times a step asks the network: 2 for solvers that look twice. */
  readonly order: number;
  /** What the network tells. */
  readonly prediction: Prediction;
  /** Standard deviation of the noise to start from. */
  readonly initNoiseSigma: number;
  /** Plans a run of `steps` steps and forgets the one before. */
  setTimesteps(steps: number): void;
  /** The network's input at a step; the sample itself where the scheduler does not scale. */
  scaleModelInput(sample: Tensor, index: number): Tensor;
  /** The sample after step `index`. Solvers with a memory take their steps in order, from any first one. */
  step(modelOutput: Tensor, index: number, sample: Tensor, options?: StepOptions): Tensor;
  /** `original` with as much `noise` as belongs to `timestep`. */
  addNoise(original: Tensor, noise: Tensor, timestep: number): Tensor;
  /** Πα at a timestep of training: the share of the signal in a sample's variance. Between timesteps by lines. */
  alpha(timestep: number): number;
  /** Frees what is kept between steps. */
  dispose(): void;
}

/** What the schedulers share: checks, the order of steps, noise. */
export abstract class BaseScheduler implements Scheduler {
  readonly prediction: Prediction;
  protected readonly name: string;
  protected readonly training: Training;
  readonly #generator: TorchGenerator;
  readonly #ordered: boolean;
  #timesteps: readonly number[] = [];
  #first = 0;
  #next: number | undefined;

  /** @param ordered whether a step needs what the step before has left */
  constructor(
    options: Options,
    source: NoiseSource,
    { ordered = false, ...betas }: BetaDefaults & { ordered?: boolean } = {},
  ) {
    this.name = options.className;
    this.training = readTraining(options, betas);
    this.prediction = readPrediction(options, ["epsilon", "v_prediction", "sample"]);
    this.#generator = source.generator ?? new TorchGenerator(source.seed ?? 0);
    this.#ordered = ordered;
  }

  /** Timesteps of a run; keeps what its steps need. */
  protected abstract plan(steps: number): readonly number[];
  /** One step; inside a scope that frees whatever is neither returned nor kept. */
  protected abstract advance(output: Tensor, index: number, sample: Tensor, options: StepOptions): Tensor;
  protected abstract levelAt(timestep: number): Level;

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  get order(): number {
    return 1;
  }

  get initNoiseSigma(): number {
    return 1;
  }

  setTimesteps(steps: number): void {
    const most = this.training.count;
    if (!Number.isInteger(steps) || steps < 1 || steps > most)
      throw new InputError(this.name, `${steps} steps; 1 to ${most} are possible`);
    this.dispose();
    this.#timesteps = this.plan(steps);
  }

  scaleModelInput(sample: Tensor, index: number): Tensor {
    this.#check(index);
    return sample;
  }

  step(modelOutput: Tensor, index: number, sample: Tensor, options: StepOptions = {}): Tensor {
    this.#check(index);
    if (!sameShape(modelOutput.shape, sample.shape))
      throw new ShapeError(this.name, `model output ${show(modelOutput.shape)} for a sample ${show(sample.shape)}`);
    if (this.#ordered && this.#next !== undefined && index !== this.#next)
      throw new InputError(this.name, `step ${index} is out of order: ${this.#expected(this.#next)}`);
    if (this.#next === undefined) this.#first = index;
    const moved = sample.device.scope(() => this.advance(modelOutput, index, sample, options));
    this.#next = index + 1;
    return moved;
  }

  addNoise(original: Tensor, noise: Tensor, timestep: number): Tensor {
    if (!sameShape(original.shape, noise.shape))
      throw new ShapeError(this.name, `noise ${show(noise.shape)} for ${show(original.shape)}`);
    const level = this.levelAt(timestep);
    return combine(this.name, [[level.signal, original], [level.noise, noise]]); // prettier-ignore
  }

  alpha(timestep: number): number {
    return interpolate(this.training.alphas, timestep);
  }

  dispose(): void {
    this.#next = undefined;
  }

  /** Steps of this run before `index`. */
  protected stepsBefore(index: number): number {
    return index - this.#first;
  }

  /** The caller's noise, or our own. */
  protected noiseFor(sample: Tensor, options: StepOptions): Tensor {
    const noise = typeof options.noise === "function" ? options.noise() : options.noise;
    if (noise === undefined)
      return Tensor.from(sample.device, this.#generator.randn(sample.shape), sample.shape, sample.dtype);
    if (sameShape(noise.shape, sample.shape)) return noise;
    throw new ShapeError(this.name, `noise ${show(noise.shape)} for a sample ${show(sample.shape)}`);
  }

  #check(index: number): void {
    const { length } = this.#timesteps;
    if (length === 0) throw new InputError(this.name, "setTimesteps comes before the first step");
    if (!Number.isInteger(index) || index < 0 || index >= length)
      throw new InputError(this.name, `step ${index} of a run with steps 0 to ${length - 1}`);
  }

  #expected(next: number): string {
    return next < this.#timesteps.length
      ? `step ${next} is next, or setTimesteps for a new run`
      : "the run has ended; setTimesteps starts a new one";
  }
}

/** Schedulers that know noise levels by whole training timesteps: signal² = Πα. */
export abstract class AlphaScheduler extends BaseScheduler {
  /** Throws where a timestep lies outside the training schedule, as `steps_offset` can bring about. */
  protected checked(timesteps: readonly number[]): readonly number[] {
    for (const timestep of timesteps) this.alphaAt(timestep);
    return timesteps;
  }

  protected alphaAt(timestep: number): number {
    const alpha = this.training.alphas[timestep];
    if (alpha === undefined)
      throw new InputError(this.name, `timestep ${timestep} is not within 0 … ${this.training.count - 1}`);
    return alpha;
  }

  protected levelAt(timestep: number): Level {
    return levelOfAlpha(this.alphaAt(timestep));
  }
}
