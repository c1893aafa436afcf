import { readdir, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { look } from "../node/folders.ts";
import { restartRecord, scalarRecord, versionRecord } from "../training/tensorboard.ts";
import type { StepReport } from "../training/trainer.ts";
import type { OutputFolder } from "../util/host.ts";
import { say } from "./stderr.ts";
import type { LoopArguments } from "./train_options.ts";

// The logs of a training: a line or record a step, and none twice.

/**
 * Where a step's numbers go.
 * @param done steps of the run that this one goes on from
 */
export async function openLog(
  output: OutputFolder,
  options: LoopArguments,
  done: number,
): Promise<(report: StepReport) => Promise<void>> {
  const { report_to: to, logging_dir: folder } = options;
  if (to === "none") return async () => {};
  const numbers = ({ loss, lr, gradNorm, lossScale }: StepReport) => ({
    loss,
    lr,
    grad_norm: gradNorm,
    loss_scale: lossScale,
  });
  if (to === "jsonl") {
    const path = `${folder}/metrics.jsonl`;
    return async (report) => {
      const { step, skipped } = report;
      await output.append(path, `${JSON.stringify({ step, ...numbers(report), ...(skipped && { skipped }) })}\n`);
    };
  }
  const now = () => Date.now() / 1000;
  const path = `${folder}/events.out.tfevents.${Math.floor(now())}.toile`;
  await output.append(path, versionRecord(now()));
  if (done > 0) await output.append(path, restartRecord(now(), done + 1));
  return (report) => output.append(path, scalarRecord(now(), report.step, numbers(report)));
}

/** Takes the steps after `done`, which are done again, out of the logs of lines, and a line that a crash left half. */
export async function forget(output: OutputFolder, { logging_dir: folder }: LoopArguments, done: number) {
  const isDone = (line: string) => {
    try {
      return (JSON.parse(line) as { step: number }).step <= done;
    } catch {
      return false;
    }
  };
  for (const path of ["metrics.jsonl", "validation.jsonl"].map((name) => `${folder}/${name}`)) {
    if (!(await output.has(path))) continue;
    const kept = (await output.text(path)).split("\n").filter(isDone);
    await output.write(path, new TextEncoder().encode(kept.map((line) => `${line}\n`).join("")));
  }
}

const OURS = /^((metrics|validation)\.jsonl|validation-\d+\.png|events\.out\.tfevents\.\d+\.toile)$/;

/** A run that begins anew leaves the logs of an earlier one, whose checkpoints are gone, under another name. */
export async function putAway({ output_dir: output, logging_dir: logs }: LoopArguments): Promise<void> {
  const given = join(output, logs);
  const folder = join(dirname(given), basename(given)); // without a slash at its end
  const names = await readdir(folder).catch(() => [] as string[]);
  if (!names.some((name) => OURS.test(name))) return;
  let number = 1;
  while (await look(folder, `${folder}-${number}`)) number++;
  await rename(folder, `${folder}-${number}`);
  say(`toile: note: the logs of an earlier run are in ${folder}-${number} now`);
}
