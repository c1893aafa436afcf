import type { Tensor } from "../tensor/tensor.ts";
import { FormatError, InputError, NonFiniteError } from "../util/errors.ts";
import type { OutputFolder } from "../util/host.ts";
import { findCheckpoint, restoreCheckpoint, saveCheckpoint, type RunState, type TrainingState } from "./checkpoint.ts";
import { epochOrder, type TryOnDataset, type TryOnSample } from "./data/dataset.ts";
import type { LossScalerState } from "./loss_scaler.ts";
import type { StepReport, Trainer } from "./trainer.ts";

/** Options of a training, by name. */
export type Settings = Readonly<Record<string, string | number | boolean>>;

export interface LoopOptions {
  /** What a run must have in common with the one that it goes on from. */
  readonly facts?: Readonly<Record<string, string>>;
  /** Kept in checkpoints, so that a run that goes on from one can tell what it does otherwise. */
  readonly settings?: Settings;
  /** Micro-batches of one optimiser step. */
  readonly gradientAccumulationSteps: number;
  readonly maxTrainSteps: number;
  /** A checkpoint every so many steps, and one at the end. */
  readonly checkpointingSteps: number;
  /** How many checkpoints are kept. */
  readonly checkpointsTotalLimit?: number | undefined;
  readonly validationSteps?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What is trained, as the loop sees it. */
export interface TrainingRun {
  readonly trainer: Trainer;
  readonly state: TrainingState;
  readonly output: OutputFolder;
  readonly options: LoopOptions;
  /** Fetches micro-batch `batch`, counted from 0 over the whole training, and returns its forward pass and loss. */
  readonly prepare: (batch: number) => Promise<() => Tensor>;
  readonly onStep?: (report: StepReport) => Promise<void> | void;
  readonly onCheckpoint?: (name: string) => Promise<void> | void;
  /** Called every `validationSteps` with the step. */
  readonly validate?: (step: number) => Promise<void>;
}

/**
 * Fills a run from a checkpoint of its output: a name, or "latest", which passes over damaged ones.
 * @returns its name, undefined for none
 */
export async function resume(
  { trainer, state, output, options }: TrainingRun,
  wanted: string,
  onDamaged?: (name: string, damage: string) => void,
): Promise<string | undefined> {
  const name = await findCheckpoint(output, wanted, onDamaged);
  if (name === undefined) return undefined;
  const { facts = {} } = options;
  const run = (await restoreCheckpoint(output, name, state, facts)) as RunState & { loss_scaler?: LossScalerState };
  trainer.resumeAt(run.step);
  if (run.loss_scaler) trainer.scaler.restore(run.loss_scaler);
  return name;
}

/**
 * Trains up to `maxTrainSteps`, from where the trainer stands. What a step sees depends on the seed and the step
 * alone, so that a run in several stretches gives the same bits as one. An abort is obeyed between steps, after a
 * checkpoint. So does a pair that cannot be read, or a loss that is no number ten times in a row, end the run.
 */
export async function runTraining(run: TrainingRun): Promise<void> {
  const { trainer, options, onStep, validate } = run;
  const { maxTrainSteps, checkpointingSteps, validationSteps, signal } = options;
  let saved = trainer.step;
  const save = async () => {
    if (saved === trainer.step) return;
    saved = trainer.step;
    const { facts, settings } = options;
    const state = { step: trainer.step, ...facts, settings, loss_scaler: trainer.scaler.state };
    // weights that give no numbers do not push out those that did
    const limit = trainer.isStuck ? undefined : options.checkpointsTotalLimit;
    const name = await saveCheckpoint(run.output, run.state, state, limit);
    await run.onCheckpoint?.(name);
  };
  while (trainer.step < maxTrainSteps) {
    if (signal?.aborted) {
      await save();
      signal.throwIfAborted();
    }
    await onStep?.(await stepOf(run).catch((error: unknown) => saveFirst(error, save)));
    if (trainer.step % checkpointingSteps === 0) await save();
    if (validationSteps !== undefined && trainer.step % validationSteps === 0)
      await validate?.(trainer.step).catch(async (error: unknown) => {
        await save().catch(() => undefined); // what ended the run matters more
        throw error;
      });
  }
  await save();
}

async function stepOf({ trainer, options, prepare }: TrainingRun): Promise<StepReport> {
  const { gradientAccumulationSteps: parts } = options;
  const losses: (() => Tensor)[] = [];
  for (let part = 0; part < parts; part++) losses.push(await prepare(trainer.step * parts + part));
  return trainer.train(losses);
}

/** What was trained is kept where bad input or bad numbers end a run: neither has touched it. */
async function saveFirst(error: unknown, save: () => Promise<void>): Promise<never> {
  const isHarmless = [InputError, FormatError, NonFiniteError].some((kind) => error instanceof kind);
  if (isHarmless) await save().catch(() => undefined); // what ended the run matters more
  throw error;
}

/** Which examples a micro-batch holds: every epoch goes through all of them in an order of its own. */
export class Shuffled {
  readonly #seed: number;
  readonly #count: number;
  readonly #size: number;
  #epoch = -1;
  #order: Uint32Array = new Uint32Array();

  /** @param count examples there are @param size examples of a micro-batch */
  constructor(seed: number, count: number, size: number) {
    this.#seed = seed;
    this.#count = count;
    this.#size = size;
  }

  /** Indices of micro-batch `batch`, with the epoch of each. */
  of(batch: number): { readonly index: number; readonly epoch: number }[] {
    return Array.from({ length: this.#size }, (_, i) => {
      const at = batch * this.#size + i;
      const epoch = Math.floor(at / this.#count);
      if (epoch !== this.#epoch) this.#order = epochOrder(this.#count, this.#seed, epoch);
      this.#epoch = epoch;
      return { index: this.#order[at % this.#count]!, epoch };
    });
  }
}

const AHEAD = 2; // micro-batches

/** Samples of micro-batches, those of the next ones under way while one is used. */
export class Fetched {
  readonly #dataset: TryOnDataset;
  readonly #shuffled: Shuffled;
  readonly #underWay = new Map<number, Promise<TryOnSample>[]>();

  constructor(dataset: TryOnDataset, shuffled: Shuffled) {
    this.#dataset = dataset;
    this.#shuffled = shuffled;
  }

  /** The samples of micro-batch `batch`. Batches are asked for in order. */
  async of(batch: number): Promise<TryOnSample[]> {
    for (let next = batch; next <= batch + AHEAD; next++) if (!this.#underWay.has(next)) this.#begin(next);
    const samples = this.#underWay.get(batch)!;
    this.#underWay.delete(batch);
    return Promise.all(samples);
  }

  #begin(batch: number): void {
    const samples = this.#shuffled.of(batch).map(({ index, epoch }) => this.#dataset.get(index, epoch));
    for (const sample of samples) sample.catch(() => undefined); // it is thrown when its turn comes
    this.#underWay.set(batch, samples);
  }
}
