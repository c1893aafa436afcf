import { basename, dirname, join, resolve } from "node:path";
import { EMAModel } from "../training/ema.ts";
import { checkpoints, removeUnfinished, STATE } from "../training/checkpoint.ts";
import { resume, runTraining, type Settings, type TrainingRun } from "../training/loop.ts";
import type { Masters, TrainedNetwork } from "../training/masters.ts";
import { Trainer, type StepReport } from "../training/trainer.ts";
import { outputFolder } from "../node/staging.ts";
import { NonFiniteError } from "../util/errors.ts";
import type { OutputFolder } from "../util/host.ts";
import { EXIT, UsageError, type ExitCode } from "./errors.ts";
import { Interrupt } from "./interrupt.ts";
import { lockFolder } from "./lock.ts";
import { say } from "./stderr.ts";
import type { LoopArguments } from "./train_options.ts";
import { forget, openLog, putAway } from "./training_logs.ts";

// What `train` and `train-vae` share: the logs, and the loop around what each of them trains.

/**
 * Does a training's work. The first Ctrl-C ends it after the step that is going on, with a checkpoint; a second one at
 * once.
 */
export async function untilInterrupted(work: (interrupt: Interrupt) => Promise<ExitCode>): Promise<ExitCode> {
  const interrupt = new Interrupt();
  try {
    return await work(interrupt);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    say(`toile: interrupted, ${interrupt.left}`);
    return EXIT.interrupted;
  }
}

/** Steps of the whole training. */
export function totalSteps(options: LoopArguments, pairs: number): number {
  const { train_batch_size: size, gradient_accumulation_steps: parts } = options;
  return options.max_train_steps ?? Math.ceil((pairs * options.num_train_epochs) / (size * parts));
}

export interface TrainingParts {
  readonly options: LoopArguments;
  readonly dtype: "f32" | "f16";
  readonly networks: readonly TrainedNetwork[];
  readonly masters: Masters;
  readonly pairs: number;
  readonly facts?: Readonly<Record<string, string>>;
  readonly prepare: TrainingRun["prepare"];
  readonly validate?: (step: number, output: OutputFolder) => Promise<void>;
}

/** Trains, going on from a checkpoint where that is asked for, and writes logs. @returns the last step's report */
export async function train(parts: TrainingParts, interrupt: Interrupt): Promise<StepReport | undefined> {
  const { options, networks, masters } = parts;
  const { device, tensors } = masters;
  const output = outputFolder(options.output_dir);
  await refuseTaken(output, options);
  const unlock = await lockFolder(options.output_dir);
  const ema = options.use_ema ? new EMAModel(device, tensors, { decay: options.ema_decay }) : undefined;
  const maxTrainSteps = totalSteps(options, parts.pairs);
  const trainer = new Trainer(
    masters,
    { ...trainerOptions(options), dtype: parts.dtype, maxTrainSteps, networks },
    ema,
  );
  try {
    await removeUnfinished(output);
    return await runLogged(parts, { trainer, output, maxTrainSteps, ema }, interrupt);
  } finally {
    if (trainer.skippedSteps > 0) say(`toile: ${trainer.skippedSteps} steps were not taken`);
    trainer.dispose();
    ema?.dispose();
    await unlock();
  }
}

type Opened = Pick<TrainingRun, "trainer" | "output"> &
  Pick<TrainingRun["options"], "maxTrainSteps"> &
  Pick<TrainingRun["state"], "ema">;

async function runLogged(
  parts: TrainingParts,
  { trainer, output, maxTrainSteps, ema }: Opened,
  interrupt: Interrupt,
): Promise<StepReport | undefined> {
  const { options, networks, masters, prepare } = parts;
  const run: TrainingRun = {
    trainer,
    state: { networks, masters, optimizer: trainer.optimizer, ema },
    output,
    prepare,
    options: {
      settings: settingsOf(options, parts.pairs),
      ...(parts.facts && { facts: parts.facts }),
      gradientAccumulationSteps: options.gradient_accumulation_steps,
      maxTrainSteps,
      checkpointingSteps: options.checkpointing_steps,
      checkpointsTotalLimit: options.checkpoints_total_limit,
      validationSteps: options.validation_steps,
      signal: interrupt.signal,
    },
    onCheckpoint: (name) => {
      interrupt.left = heldBy(name);
      say(`toile: ${join(options.output_dir, name)} is written`);
    },
    validate: (step) => shown(step, () => parts.validate?.(step, output)),
  };
  if (options.resume_from_checkpoint !== undefined) await goOn(run, options, interrupt);
  await (trainer.step > 0 ? forget(output, options, trainer.step) : putAway(options));
  const log = await openLog(output, options, trainer.step);
  let last: StepReport | undefined;
  const onStep = async (report: StepReport) => {
    last = report;
    if (report.skipped !== undefined) say(`toile: step ${report.step} was not taken: ${report.skipped}`);
    if (process.stderr.isTTY) say(`step ${report.step}/${maxTrainSteps}  loss ${report.loss.toFixed(5)}`);
    await log(report);
  };
  await runTraining({ ...run, onStep });
  return last;
}

const heldBy = (checkpoint: string) => `${checkpoint} holds what was trained`;

/** Options that say what is kept, shown or gone on from: another value changes nothing that is learnt. */
const HARMLESS: ReadonlySet<string> = new Set<keyof LoopArguments>([
  "output_dir",
  "logging_dir",
  "report_to",
  "checkpointing_steps",
  "checkpoints_total_limit",
  "validation_steps",
  "resume_from_checkpoint",
  "dataloader_num_workers",
]);

const LENGTHS: ReadonlySet<string> = new Set<keyof LoopArguments>(["max_train_steps", "num_train_epochs"]);

/** What decides what a training learns: its options and how many pairs there are. */
function settingsOf(options: LoopArguments, pairs: number): Settings {
  const isEndless = options.lr_scheduler.startsWith("constant"); // how far it is to the end then changes no step
  const counts = (name: string) => !HARMLESS.has(name) && !(isEndless && LENGTHS.has(name));
  const given = Object.entries(options).flatMap(([name, value]) =>
    value !== undefined && counts(name) ? [[name, value] as const] : [],
  );
  return Object.fromEntries([...given, ["pairs", pairs]]);
}

/** Lines about what a run does otherwise than the one that it goes on from. */
function differences(before: Settings, now: Settings): string[] {
  const names = Object.keys({ ...before, ...now }).filter((name) => before[name] !== now[name]);
  const shown = (value: Settings[string] | undefined) => String(value ?? "not given");
  return names.map((name) => `${name} was ${shown(before[name])}, now it is ${shown(now[name])}`);
}

async function goOn(run: TrainingRun, options: LoopArguments, interrupt: Interrupt): Promise<void> {
  const passed = (name: string, damage: string) => say(`toile: note: ${name} is passed over: ${damage}`);
  const name = await resume(run, await wantedCheckpoint(run.output, options), passed);
  if (name === undefined) return say("toile: no checkpoint to go on from: beginning");
  say(`toile: going on from ${name}`);
  interrupt.left = heldBy(name);
  const { settings: before } = JSON.parse(await run.output.text(`${name}/${STATE}`)) as { settings?: Settings };
  for (const line of before ? differences(before, run.options.settings!) : []) say(`toile: note: ${line}`);
  if (run.trainer.step >= run.options.maxTrainSteps) say(`toile: note: nothing is left to do, ${name} is the end`);
}

/**
 * The checkpoint to go on from: "latest", or a name, as it is or with the way to it. What came after a named one would be
 * gone on from next time, and written over: whoever goes back puts it away.
 */
async function wantedCheckpoint(output: OutputFolder, options: LoopArguments): Promise<string> {
  const { resume_from_checkpoint: given, output_dir: folder } = options;
  const isPath = resolve(dirname(given!)) === resolve(folder);
  const wanted = isPath ? basename(given!) : given!;
  if (basename(wanted) !== wanted)
    throw new UsageError(
      `--resume_from_checkpoint "${given}" is no checkpoint-N of --output_dir ${folder}, nor "latest"`,
    );
  const all = await checkpoints(output);
  const step = all.find(({ name }) => name === wanted)?.step ?? Infinity;
  const later = all.filter((other) => other.step > step).map(({ name }) => name);
  if (later.length === 0) return wanted;
  const way = `move ${later.join(", ")} elsewhere first, or go on from "latest"`;
  throw new UsageError(`--resume_from_checkpoint: ${folder} holds what came after ${wanted}: ${way}`);
}

/** Pictures of a network that is not there yet may fail: the training goes on. */
async function shown(step: number, act: () => Promise<void> | undefined): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    say(`toile: note: no pictures at step ${step}: ${error.message}`);
  }
}

/** An earlier training's checkpoints are neither mixed with this one's nor deleted for them. */
async function refuseTaken(output: OutputFolder, { resume_from_checkpoint: resumes }: LoopArguments): Promise<void> {
  const name = resumes === undefined ? (await checkpoints(output)).at(-1)?.name : undefined;
  if (name === undefined) return;
  const way = "go on from it with --resume_from_checkpoint latest, or name another folder";
  throw new UsageError(`--output_dir: ${output.name} holds ${name} of an earlier training: ${way}`);
}

const trainerOptions = (options: LoopArguments) => ({
  learningRate: options.learning_rate,
  lrScheduler: options.lr_scheduler,
  lrWarmupSteps: options.lr_warmup_steps,
  lrNumCycles: options.lr_num_cycles,
  lrPower: options.lr_power,
  maxGradNorm: options.max_grad_norm,
  betas: [options.adam_beta1, options.adam_beta2] as const,
  weightDecay: options.adam_weight_decay,
  eps: options.adam_epsilon,
});
