import { z } from "zod";
import { Device } from "../gpu/device.ts";
import { timeCandidates } from "../kernels/tuning.ts";
import { writeTuning } from "../node/tuning.ts";
import { storageType } from "../pipelines/load.ts";
import { SMALLEST } from "../pipelines/settings.ts";
import { unetProblems } from "../pipelines/tuning.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, UsageError, type ExitCode } from "./errors.ts";
import { interruptible } from "./interrupt.ts";
import { oneOf, parseOptions, whole } from "./options.ts";
import { say } from "./stderr.ts";

export interface TuneArguments {
  readonly size: string;
  readonly samples?: string;
  readonly guidanceBatch?: string;
  readonly dtype: string;
  readonly json?: boolean;
}

const TUNE_OPTIONS = z.object({
  samples: whole(1, 64).default(1),
  dtype: oneOf(["auto", "f32", "f16"]),
  guidanceBatch: oneOf(["1", "2"]).default("2"),
});

/** `toile tune`: times the forms of each kernel on this machine and keeps the fastest for later runs. */
export async function tune(options: TuneArguments): Promise<ExitCode> {
  return interruptible(async () => measureAll(options), "what was measured is kept");
}

async function measureAll({ size, json = false, ...raw }: TuneArguments): Promise<ExitCode> {
  const { samples, guidanceBatch, dtype } = parseOptions(TUNE_OPTIONS, raw);
  const [width = 0, height = 0] = /^(\d+)x(\d+)$/.exec(size)?.slice(1).map(Number) ?? [];
  if ([width, height].some((side) => side < SMALLEST || side % 8 !== 0))
    throw new UsageError(
      `--size "${size}" is not a width and a height in multiples of 8 from ${SMALLEST} on, as 768x1024 is`,
    );
  const device = await adapterDevice();
  const { facts } = device;
  const question = {
    ...{ width, height, samples, dtype: storageType("tune", facts, dtype), guided: true },
    guidanceBatch: guidanceBatch === "1" ? (1 as const) : (2 as const),
  };
  const plans: Record<string, string> = {};
  const path = await writeTuning(facts, plans); // what cannot be written is to be known before the work
  for (const problem of unetProblems(facts, question)) {
    const family = problem.key.split(" ")[0]!;
    const timings = await timeCandidates(
      (name) => new Device(device.gpu, facts, { variants: { [family]: name } }),
      problem,
      (line) => say(`toile: ${line}`),
    );
    const [best] = timings;
    plans[problem.key] = best!.name;
    await writeTuning(facts, plans);
    if (json) continue;
    const rate = problem.operations / best!.milliseconds / 1e6;
    const others = timings.slice(1).map(({ name, milliseconds }) => `${name} ${milliseconds.toFixed(2)}`);
    const own = `${best!.name} ${best!.milliseconds.toFixed(2)} ms, ${rate.toFixed(1)} GFLOP/s`;
    say(`${problem.key}: ${own}${others.length ? ` (${others.join(", ")})` : ""}`);
  }
  process.stdout.write(json ? `${JSON.stringify({ adapter: facts.name, path, plans })}\n` : `${path}\n`);
  device.destroy();
  return EXIT.ok;
}
