import type { DeviceFacts } from "../gpu/facts.ts";
import { TYPICAL_GPU, planTryOn, type PhaseMemory, type TryOnMemory } from "../pipelines/memory.ts";
import { checkTryOn } from "../pipelines/settings.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, UsageError, type ExitCode } from "./errors.ts";
import { parseOptions } from "./options.ts";
import { questionOf, RunOptions, sizeOf } from "./question.ts";

const PHASES: Readonly<Record<PhaseMemory["phase"], string>> = {
  encode: "VAE encode",
  clip: "CLIP",
  garment: "garment UNet",
  project: "garment's keys and values",
  denoise: "try-on UNet step",
  decode: "VAE decode",
};

/** `toile doctor --memory hd 768x1024`: what a try-on would take of a GPU's memory. Loads nothing. */
export async function memory(asked: readonly string[], raw: Readonly<Record<string, unknown>>): Promise<ExitCode> {
  const options = parseOptions(RunOptions, raw);
  const [model, text] = asked;
  const size = sizeOf(text);
  if (asked.length !== 2 || (model !== "hd" && model !== "dc") || !size)
    throw new UsageError(`--memory "${asked.join(" ")}" is not hd or dc and a size: --memory hd 768x1024`);
  try {
    checkTryOn(model, "upperbody", size.width, size.height);
  } catch (error) {
    throw new UsageError(`--memory: ${(error as Error).message}`);
  }
  const facts = await adapterFacts();
  const question = questionOf("try-on", facts, size, options);
  const report = { model, ...question, adapter: facts.name, ...planTryOn(facts, question) };
  process.stdout.write(raw["json"] ? `${JSON.stringify(report)}\n` : table(report));
  return EXIT.ok;
}

/** Those of the adapter, or of a usual GPU where there is none. */
async function adapterFacts(): Promise<DeviceFacts> {
  try {
    const device = await adapterDevice();
    device.destroy();
    return device.facts;
  } catch {
    return TYPICAL_GPU;
  }
}

interface Report extends TryOnMemory {
  readonly model: string;
  readonly width: number;
  readonly height: number;
  readonly samples: number;
  readonly dtype: string;
  readonly guidanceBatch: 1 | 2;
  readonly adapter: string;
}

const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20).toLocaleString("en-US")} MiB`;

function table({
  model,
  width,
  height,
  samples,
  dtype,
  guidanceBatch,
  adapter,
  phases,
  weights,
  peak,
}: Report): string {
  const cells = phases.map(({ phase, weights: own, held, activations, bound }) => [
    PHASES[phase],
    ...[own, held, activations, bound].map(mebibytes),
    bound > 0 ? (activations / bound).toFixed(2) : "",
  ]);
  const rows = [["phase", "weights", "kept", "activations", "alive at once", "ratio"], ...cells];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "),
  );
  const batch = guidanceBatch === 2 ? "both halves of the guidance in one batch" : "the guidance's halves one by one";
  return [
    `${model} ${width}x${height}, ${samples} ${samples === 1 ? "sample" : "samples"}, ${dtype}, ${batch}`,
    `planned for ${adapter}`,
    "",
    ...lines.map((line) => line.trimEnd()),
    "",
    `weights of all networks             ${mebibytes(weights)}`,
    `peak with --offload never           ${mebibytes(peak.resident)}`,
    `peak with --offload always          ${mebibytes(peak.offloaded)}`,
    "",
  ].join("\n");
}
