import { Device } from "../gpu/device.ts";
import { timeCandidates } from "../kernels/tuning.ts";
import { writeTuning } from "../node/tuning.ts";
import { SMALLEST } from "../pipelines/settings.ts";
import { unetProblems } from "../pipelines/tuning.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, UsageError, type ExitCode } from "./errors.ts";
import { interruptible } from "./interrupt.ts";
import { parseOptions } from "./options.ts";
import { questionOf, RunOptions, sizeOf } from "./question.ts";
import { say } from "./stderr.ts";

export interface TuneArguments {
  readonly size: string;
  readonly samples?: string;
  readonly guidanceBatch?: string;
  readonly dtype: string;
  readonly json?: boolean;
}

/** `toile tune`: times the forms of each kernel on this machine and keeps the fastest for later runs. */
export async function tune(options: TuneArguments): Promise<ExitCode> {
  return interruptible(async () => measureAll(options), "what was measured is kept");
}

async function measureAll({ size: text, json = false, ...raw }: TuneArguments): Promise<ExitCode> {
  const options = parseOptions(RunOptions, raw);
  const size = sizeOf(text);
  if (!size || [size.width, size.height].some((side) => side < SMALLEST || side % 8 !== 0))
    throw new UsageError(
      `--size "${text}" is not a width and a height in multiples of 8 from ${SMALLEST} on, as 768x1024 is`,
    );
  const device = await adapterDevice();
  const { facts } = device;
  const question = questionOf("tune", facts, size, options);
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
