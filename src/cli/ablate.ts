import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { ablationHtml, ablationScores, cellMeans, cellsOf, type AblationCell, type AblationPicture, type AblationRow } from "../evaluation/ablation.ts"; // prettier-ignore
import type { FusionStrategy } from "../models/fusion/strategy.ts";
import { folderDataset } from "../node/data/folder.ts";
import { directory, writeFileAtomic } from "../node/files.ts";
import { makeFolder } from "../node/folders.ts";
import { encodeJpeg, encodePng } from "../node/images.ts";
import { packageInfo } from "../node/package.ts";
import { CATEGORIES } from "../pipelines/conditioning.ts";
import { TryOnPipeline } from "../pipelines/try-on.ts";
import type { TryOnDataset, TryOnSample } from "../training/data/dataset.ts";
import type { RgbImage } from "../vision/image.ts";
import { resize } from "../vision/resize.ts";
import { checkpointFolder, checkSteps, trainedUnets } from "./checkpoints.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { openFusion } from "./fusion.ts";
import { interruptible, type Interrupt } from "./interrupt.ts";
import { openJournal } from "./journal.ts";
import { file, oneOf, parseOptions, real, SCHEDULERS, size, whole } from "./options.ts";
import { checkFolder, writeAll } from "./output.ts";
import { heldOutPairs } from "./pairs.ts";
import { Progress } from "./progress.ts";
import { say } from "./stderr.ts";

/** Options as commander hands them over: strings and switches. */
export type AblateArguments = Readonly<Record<string, unknown>>;

/** `a,b,c`. */
const list = <T>(item: z.ZodType<T, string>) =>
  z
    .string()
    .transform((text) => text.split(",").map((part) => part.trim()))
    .pipe(z.array(item).min(1));

const AblateOptions = z
  .object({
    fusion: list(file),
    scale: list(real(0, 100)),
    steps: list(whole(1, 1000)),
    drawn: whole(1, 100_000).optional(),
    datasetDir: file.optional(),
    pairs: whole(1, 100_000).optional(),
    model: oneOf(["hd", "dc"]),
    checkpoints: file.optional(),
    unets: file.optional(),
    ema: z.boolean().default(false),
    width: size,
    height: size,
    seed: whole(0, Number.MAX_SAFE_INTEGER),
    scheduler: oneOf(SCHEDULERS),
    dtype: oneOf(["auto", "f32", "f16"]),
    out: file,
    json: z.boolean().default(false),
  })
  .superRefine(({ drawn, datasetDir, ...lists }, context) => {
    for (const name of ["fusion", "scale", "steps"] as const) {
      const twice = lists[name].find((item, i) => (lists[name] as readonly unknown[]).indexOf(item) !== i);
      if (twice !== undefined) context.addIssue({ code: "custom", path: [name], message: `names ${twice} twice` });
    }
    if ((drawn === undefined) === (datasetDir === undefined))
      context.addIssue({ code: "custom", path: ["datasetDir"], message: "or --drawn is needed, and not both" });
  });

type AblateOptions = z.infer<typeof AblateOptions>;

const USUAL_PAIRS = 8; // of a set
const [RESULTS, REPORT, JOURNAL] = ["results.json", "report.html", "progress.jsonl"];

/** `toile ablate`: fusions × guidance × steps over a set of pairs. */
export async function ablate(raw: AblateArguments): Promise<ExitCode> {
  const options = parseOptions(AblateOptions, raw);
  await checkFolder(options.out, [RESULTS, REPORT, JOURNAL]);
  const progress = new Progress();
  const left = `what was made is kept in ${join(options.out, JOURNAL)}`;
  const work = (interrupt: Interrupt) => compare(options, interrupt, progress).finally(() => progress.clear());
  return interruptible(work, left);
}

async function compare(options: AblateOptions, interrupt: Interrupt, progress: Progress): Promise<ExitCode> {
  const { out, model, dtype, scale, steps } = options;
  const fusions = [];
  const names = namesOf(options.fusion);
  for (const [i, text] of options.fusion.entries())
    fusions.push({ name: names[i]!, strategy: await openFusion(text), id: await idOf(text) });
  const folder = await checkpointFolder(options.checkpoints);
  for (const count of steps) await checkSteps(directory(folder), { scheduler: options.scheduler, steps: count });
  const trained = await trainedUnets(options, directory(folder));
  const dataset = await openPairs(options);
  const device = await adapterDevice();
  const load = { device, model, dtype, signal: interrupt.signal } as const;
  const pipeline = await TryOnPipeline.fromPretrained(directory(folder), { ...trained, ...load });
  await makeFolder(out);
  const journal = await openJournal(join(out, JOURNAL));
  const cells = cellsOf(names, scale, steps);
  const run = { version: packageInfo().version, adapter: device.facts.name, dtype: pipeline.dtype, model, scheduler: options.scheduler, seed: options.seed, ema: options.ema, weights: await stampOf(options.unets ?? folder) }; // prettier-ignore
  const counts = { made: 0, resumed: 0 };
  const notes = new Map<string, string>(); // of each fusion
  const rows: AblationRow[] = [];
  const pairs = Math.min(options.pairs ?? options.drawn ?? USUAL_PAIRS, dataset.length);
  for (let i = 0; i < pairs; i++) {
    const sample = await dataset.get(i);
    const digest = [sample.person, sample.garment, sample.mask].map(({ data }) => sha256(data)).join(" ");
    const pictures: AblationPicture[] = [];
    for (const { name, strategy, id } of fusions)
      for (const cell of cellsOf([name], scale, steps)) {
        interrupt.signal.throwIfAborted();
        progress.update("dress", i * cells.length + pictures.length, pairs * cells.length);
        const key = JSON.stringify([run, digest, id, cell.scale, cell.steps, options.width, options.height]);
        const known = entryOf(journal.get(key));
        const isKnown = known && existsSync(join(out, known.file)); // a picture that was deleted is made again
        counts[isKnown ? "resumed" : "made"]++;
        const file = join("pictures", pictureName(i, cell, key));
        const asked = { cell, strategy, file: join(out, file) };
        const made = isKnown ? known : { ...(await dress(pipeline, options, sample, asked, interrupt.signal)), file };
        if (!isKnown) await journal.put(key, JSON.stringify(made satisfies Entry));
        if (made.note !== undefined) notes.set(cell.fusion, made.note);
        pictures.push(made);
      }
    rows.push({ ...(await shownOf(sample)), pictures });
  }
  interrupt.finish();
  await journal.close();
  await dataset.close?.();
  await pipeline.dispose();
  progress.clear();
  for (const note of notes.values()) say(`toile: note: ${note}`);
  const facts = { ...run, pairs: `${pairs} of ${options.datasetDir ?? "drawn people"}`, ...Object.fromEntries(notes) };
  await write(options, cells, rows, facts, counts);
  return EXIT.ok;
}

/** A line of the journal: what was made, below which name, and what is to be known about its fusion. */
type Entry = AblationPicture & { readonly file: string; readonly note?: string };

const entryOf = (line: string | undefined): Entry | undefined =>
  line === undefined ? line : (JSON.parse(line) as Entry);

/** Of a pair in a cell; what else it depends on is in the key, so that no run writes over another's. */
const pictureName = (pair: number, { fusion, scale, steps }: AblationCell, key: string): string => {
  const others = sha256(new TextEncoder().encode(key)).slice(0, 8);
  return `${pair}-${fusion}-${scale}-${steps}-${others}.png`.replaceAll(/[:/\\]/g, "_");
};

interface Asked {
  readonly cell: AblationCell;
  readonly strategy: FusionStrategy;
  /** Where the picture goes. */
  readonly file: string;
}

/** Makes one picture, keeps it whole, and measures it. */
async function dress(
  pipeline: TryOnPipeline,
  { width, height, seed, scheduler }: AblateOptions,
  sample: TryOnSample,
  { cell, strategy, file }: Asked,
  signal: AbortSignal,
): Promise<Omit<Entry, "file">> {
  const { person, garment, mask, category } = sample;
  const given = { person, garment, mask, category, width, height, seed, scheduler, fit: "stretch" } as const;
  const asked = { fusion: strategy, guidanceScale: cell.scale, steps: cell.steps, signal };
  const { images, warnings } = await pipeline({ ...given, ...asked });
  const image = images[0]!;
  const note = warnings.find((warning) => warning.startsWith("the fusion ")); // that its weights were not trained
  await makeFolder(dirname(file));
  await writeFileAtomic(file, await encodePng(image));
  const scores = ablationScores(image, truthOf(sample), mask);
  return { picture: await thumbnail(image), scores, ...(note !== undefined && { note }) };
}

const truthOf = ({ truth, person }: TryOnSample): RgbImage => truth ?? person;

async function write(
  { out, width, height, json }: AblateOptions,
  cells: readonly AblationCell[],
  rows: readonly AblationRow[],
  run: Readonly<Record<string, unknown>>,
  counts: Counts,
): Promise<void> {
  const means = cellMeans(cells, rows);
  const results = cells.map((cell, i) => ({ ...cell, ...means[i]! }));
  const given = Object.entries({ ...run, size: `${width}x${height}` });
  const facts = Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
  const bytes = (content: string) => new TextEncoder().encode(content);
  const pairs = rows.map(({ name, pictures }) => ({ name, scores: pictures.map(({ scores }) => scores) }));
  const report = join(out, REPORT);
  await writeAll([
    [join(out, RESULTS), bytes(`${JSON.stringify({ facts, cells: results, pairs }, undefined, 2)}\n`)],
    [report, bytes(ablationHtml(cells, rows, facts))],
  ]);
  const shown = json ? `${JSON.stringify({ cells: results, ...counts, report })}\n` : text(results, counts, report);
  process.stdout.write(shown);
}

interface Counts {
  made: number;
  resumed: number;
}

/** What the page calls each fusion: a file by its own name, or by its path where another one has that name. */
function namesOf(texts: readonly string[]): string[] {
  const short = texts.map((text) => basename(text));
  return short.map((name, i) => (short.indexOf(name) === short.lastIndexOf(name) ? name : texts[i]!));
}

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** A strategy that ships by its name, another by what its file holds. */
async function idOf(text: string): Promise<string> {
  const found = await readFile(text).catch(() => undefined);
  return found ? sha256(found) : text;
}

/** Tells a folder of weights from what it was before, without reading gigabytes: names, sizes and times of its files. */
async function stampOf(folder: string): Promise<string> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => /\.(safetensors|bin)$/.test(name)).sort();
  const stamps = await Promise.all(
    names.map(async (name) => {
      const { size: bytes, mtimeMs } = await stat(join(folder, name));
      return `${name} ${bytes} ${mtimeMs}`;
    }),
  );
  return sha256(new TextEncoder().encode(stamps.join("\n"))).slice(0, 16);
}

/** Drawn people in garments that they did not wear, with the truth; or a set's test pairs, as they were photographed. */
async function openPairs({ drawn, datasetDir, model, width, height }: AblateOptions): Promise<TryOnDataset> {
  if (datasetDir === undefined) {
    const shown = model === "hd" ? "half" : "whole";
    return heldOutPairs(shown, { width, height, pairing: "unpaired", length: drawn! });
  }
  const categories = model === "hd" ? (["upperbody"] as const) : CATEGORIES;
  return folderDataset(datasetDir, { split: "test", order: "paired", width, height, categories, mask: { model } });
}

const THUMBNAIL = { height: 192, quality: 85 };

async function thumbnail(image: RgbImage): Promise<string> {
  const height = Math.min(THUMBNAIL.height, image.height);
  const width = Math.max(1, Math.round((image.width * height) / image.height));
  const bytes = await encodeJpeg(resize(image, width, height, "bicubic"), THUMBNAIL.quality);
  return `data:image/jpeg;base64,${Buffer.from(bytes).toString("base64")}`;
}

async function shownOf(sample: TryOnSample): Promise<Omit<AblationRow, "pictures">> {
  const [person, garment, real] = await Promise.all([sample.person, sample.garment, truthOf(sample)].map(thumbnail));
  return { name: `${sample.names.person}, ${sample.names.garment}`, person: person!, garment: garment!, truth: real! };
}

type Result = ReturnType<typeof cellsOf>[number] & ReturnType<typeof cellMeans>[number];

function text(results: readonly Result[], { made, resumed }: Counts, report: string): string {
  const lines = results.map(
    ({ fusion, scale, steps, ssim, psnrInside }) =>
    [fusion.padEnd(22), `scale ${scale}`.padEnd(11), `${steps} steps`.padEnd(10), `SSIM ${ssim.toFixed(4)}  inside ${(psnrInside ?? Infinity).toFixed(2)} dB`].join(" "), // prettier-ignore
  );
  const before = resumed > 0 ? `, ${resumed} known from before` : "";
  return `${[...lines, `${made} made${before}`, report].join("\n")}\n`;
}
