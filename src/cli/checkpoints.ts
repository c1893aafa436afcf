import { stat } from "node:fs/promises";
import type { Folder } from "../checkpoint/source.ts";
import { directory } from "../node/files.ts";
import { shipped } from "../node/package.ts";
import { LAYOUT } from "../pipelines/components.ts";
import { json } from "../pipelines/load.ts";
import { tryonScheduler, type Scheduler } from "../schedulers/create.ts";
import { InputError } from "../util/errors.ts";
import { STATE } from "../training/checkpoint.ts";
import { noiseLevels } from "../training/noise_levels.ts";
import { UsageError } from "./errors.ts";
import { say } from "./stderr.ts";

const SCHEDULER = "ootd/scheduler/scheduler_config.json";

/** The folder given, or the small checkpoint that ships. @throws InputError when it is no folder */
export async function checkpointFolder(given: string | undefined): Promise<string> {
  const folder = given ?? shipped("weights");
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory()) return folder;
  throw new InputError(folder, found ? "is not a folder" : `no such folder of checkpoints; it should hold ${LAYOUT}`);
}

/**
 * `--unets`, as the pipeline takes it.
 * @param folder with the scheduler of the run
 * @param fusion of the run: a note tells of UNets that were trained with another one
 * @throws InputError when it is no folder, and for UNets that tell something else than the scheduler asks for
 */
export async function trainedUnets(
  { unets: given, ema }: { readonly unets?: string | undefined; readonly ema: boolean },
  folder: Folder,
  fusion?: string,
): Promise<{ unets?: Folder; ema?: boolean }> {
  if (given === undefined) return {};
  const found = await stat(given).catch(() => undefined);
  if (!found?.isDirectory()) throw new InputError(given, found ? "is not a folder" : "no such folder of trained UNets");
  const unets = directory(given);
  if (!(await unets.has(STATE))) return { unets, ema };
  const { fusion: trained, prediction_type: told } = await json(unets, STATE);
  const { prediction } = noiseLevels(await json(folder, SCHEDULER));
  if (told !== undefined && told !== prediction) {
    const why = `its UNets tell the ${String(told)}, ${SCHEDULER} of ${folder.name} asks for the ${prediction}`;
    throw new InputError(given, why);
  }
  if (typeof trained === "string" && fusion !== undefined && fusion !== trained)
    say(`toile: note: ${given} was trained with the fusion "${trained}", here it runs with "${fusion}"`);
  return { unets, ema };
}

/** Some schedulers cannot take every number of steps, which their own configuration says. @throws UsageError */
export const checkSteps = async (folder: Folder, options: { scheduler: string; steps: number }): Promise<void> =>
  checkTimesteps(tryonScheduler(await json(folder, SCHEDULER), options.scheduler), options.steps);

/** The same of a scheduler, which is done with then. @throws UsageError */
export function checkTimesteps(scheduler: Scheduler, steps: number): void {
  try {
    scheduler.setTimesteps(steps);
  } catch (error) {
    if (error instanceof InputError) throw new UsageError(`--steps "${steps}": ${error.message}`);
    throw error;
  } finally {
    scheduler.dispose();
  }
}
