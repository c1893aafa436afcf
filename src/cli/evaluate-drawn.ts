import { join } from "node:path";
import { z } from "zod";
import { directory } from "../node/files.ts";
import { makeFolder } from "../node/folders.ts";
import { encodePng } from "../node/images.ts";
import { packageInfo } from "../node/package.ts";
import { TryOnPipeline } from "../pipelines/try-on.ts";
import type { TryOnSample } from "../training/data/dataset.ts";
import { COLOUR_LIMIT, heldOut, summarise, type HeldOutScore, type HeldOutSummary } from "../training/data/held_out.ts";
import type { DrawnOptions } from "../training/data/drawn.ts";
import type { RgbImage } from "../vision/image.ts";
import { sheet } from "../vision/sheet.ts";
import { checkpointFolder, trainedUnets } from "./checkpoints.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { interruptible, type Interrupt } from "./interrupt.ts";
import { DRAWN, METRICS, refuseOther } from "./metrics.ts";
import { file, oneOf, parseOptions, real, size, whole } from "./options.ts";
import { checkFolder, writeAll } from "./output.ts";
import { drawnOptions, HELD_OUT } from "./pairs.ts";
import { Progress } from "./progress.ts";

const Options = z
  .object({
    pairs: whole(1, 100_000),
    control: whole(0, 100_000).optional(),
    pairing: oneOf(["unpaired", "paired", "mixed"]),
    model: oneOf(["hd", "dc"]),
    checkpoints: file.optional(),
    unets: file.optional(),
    ema: z.boolean().default(false),
    width: size,
    height: size,
    steps: whole(1, 1000),
    scale: real(0, 100),
    seed: whole(0, 2 ** 32 - 1),
    out: file,
    json: z.boolean().default(false),
  })
  .superRefine(({ pairs, control, unets, ema }, context) => {
    const complain = (option: string, message: string) => context.addIssue({ code: "custom", path: [option], message });
    if (control !== undefined && control > pairs) complain("control", "is more than --pairs");
    if (ema && unets === undefined) complain("ema", "needs --unets: a training keeps the averages");
  });

type Options = z.infer<typeof Options>;

/** Dresses a person in a garment. */
type Dress = (sample: TryOnSample, garment: RgbImage) => Promise<RgbImage>;

const PICTURES = "pictures.png";
const SHOWN = 12;

/** `toile evaluate-drawn`: how a model dresses drawn people that it was not trained on. */
export async function evaluateDrawn(raw: Readonly<Record<string, unknown>>): Promise<ExitCode> {
  const options = parseOptions(Options, raw);
  await checkFolder(options.out, [METRICS, PICTURES]);
  await refuseOther(options.out, DRAWN);
  const progress = new Progress();
  return interruptible((interrupt) => work(options, interrupt, progress).finally(() => progress.clear()));
}

async function work(options: Options, interrupt: Interrupt, progress: Progress): Promise<ExitCode> {
  const { out, json, pairs, control = pairs, ...settings } = options;
  const dress = await openModel(options, interrupt.signal);
  const measured = await measure(options, dress, (done) => progress.update("dress", done, pairs + control));
  interrupt.finish();
  const { version } = packageInfo();
  const report = { ...measured.report, settings: { ...settings, drawn_seed: HELD_OUT, version } };
  await makeFolder(out);
  await writeAll([
    [join(out, METRICS), new TextEncoder().encode(`${JSON.stringify(report, null, 2)}\n`)],
    [join(out, PICTURES), await encodePng(sheet(measured.columns))],
  ]);
  progress.clear();
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${text(report)}\n${join(out, METRICS)}\n`);
  return EXIT.ok;
}

async function openModel(options: Options, signal: AbortSignal): Promise<Dress> {
  const { model, width, height, steps, scale: guidanceScale, seed } = options;
  const folder = directory(await checkpointFolder(options.checkpoints));
  const trained = await trainedUnets(options, folder, "concat");
  const device = await adapterDevice();
  const pipeline = await TryOnPipeline.fromPretrained(folder, { device, model, ...trained, signal });
  const settings = { width, height, steps, guidanceScale, seed, fit: "stretch", signal } as const;
  return async ({ person, mask, category }, garment) =>
    (await pipeline({ person, garment, mask, category, ...settings })).images[0]!;
}

interface Report {
  readonly result: HeldOutSummary;
  /** The true pictures themselves: how well what is measured tells sleeves apart. */
  readonly truth: HeldOutSummary;
  /** The same people in the garment of another pair: what a model that does not look at the garment would reach. */
  readonly control: HeldOutSummary;
}

async function measure(
  { model, width, height, pairing, pairs, control = pairs }: Options,
  dress: Dress,
  onDone: (done: number) => void,
): Promise<{ report: Report; columns: RgbImage[][] }> {
  const drawn: DrawnOptions = drawnOptions(model === "hd" ? "half" : "whole", {
    ...{ seed: HELD_OUT, width, height, pairing },
  });
  const columns: RgbImage[][] = [];
  const scores: Record<keyof Report, HeldOutScore[]> = { result: [], truth: [], control: [] };
  for (let index = 0, done = 0; index < pairs; index++) {
    const { sample, measure } = await heldOut(drawn, index);
    const truth = sample.truth!;
    const result = await dress(sample, sample.garment);
    scores.result.push(measure(result));
    scores.truth.push(measure(truth));
    if (index < SHOWN) columns.push([sample.garment, sample.person, result, truth]);
    onDone(++done);
    if (index >= control) continue;
    // as many pairs on as there are categories: a garment of the same one
    const other = await heldOut(drawn, index + drawn.categories!.length);
    scores.control.push(measure(await dress(sample, other.sample.garment)));
    onDone(++done);
  }
  const { result, truth, control: shuffled } = scores;
  return { report: { result: summarise(result), truth: summarise(truth), control: summarise(shuffled) }, columns };
}

function text(report: Report): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const line = (name: string, { pairs, errorRatio, sleeved, sleeveShare, colour, colourShare }: HeldOutSummary) => {
    if (pairs === 0) return `${name}  none`;
    const sleeve = sleeved > 0 ? `, sleeve right ${percent(sleeveShare)} of ${sleeved}` : "";
    const hue = `colour within ${COLOUR_LIMIT}/255 ${percent(colourShare)} (mean ${colour.toFixed(1)})`;
    return `${name}  error ${errorRatio.toFixed(3)} of the grey input's${sleeve}, ${hue}`;
  };
  const { result, truth, control } = report;
  return [`${result.pairs} pairs`, line("result ", result), line("truth  ", truth), line(`control`, control)].join(
    "\n",
  );
}
