import { Device } from "../gpu/device.ts";
import { timeCandidates, unetProblems } from "../kernels/tuning.ts";
import { writeTuning } from "../node/tuning.ts";
import { DeviceError } from "../util/errors.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, UsageError, type ExitCode } from "./errors.ts";
import { interruptible } from "./interrupt.ts";
import { say } from "./stderr.ts";

export interface TuneArguments {
  readonly size: string;
  readonly dtype: string;
  readonly json?: boolean;
}

/** `toile tune`: times the forms of each kernel on this machine and keeps the fastest for later runs. */
export async function tune(options: TuneArguments): Promise<ExitCode> {
  return interruptible(async () => measureAll(options), "what was measured is kept");
}

async function measureAll({ size, dtype, json = false }: TuneArguments): Promise<ExitCode> {
  const [width, height] = /^(\d+)x(\d+)$/.exec(size)?.slice(1).map(Number) ?? [];
  if (!width || !height || width % 64 || height % 64)
    throw new UsageError(`--size "${size}" is not a width and a height in multiples of 64, as 768x1024 is`);
  if (dtype !== "auto" && dtype !== "f32" && dtype !== "f16")
    throw new UsageError(`--dtype "${dtype}" is not auto, f32 or f16`);
  const device = await adapterDevice();
  const { facts } = device;
  if (dtype === "f16" && !facts.f16) throw new DeviceError("tune", `${facts.name} has no shader-f16`);
  const elem = dtype === "auto" ? (facts.f16 ? "f16" : "f32") : dtype;
  const plans: Record<string, string> = {};
  const path = await writeTuning(facts, plans); // what cannot be written is to be known before the work
  for (const problem of unetProblems(facts, elem, height / 8, width / 8)) {
    const family = problem.key.split(" ")[0]!;
    const timings = await timeCandidates(
      (name) => new Device(device.gpu, facts, { variants: { [family]: name } }),
      problem,
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
