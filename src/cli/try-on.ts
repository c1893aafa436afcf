import { basename, dirname, join } from "node:path";
import { openSafetensors } from "../checkpoint/safetensors.ts";
import { safetensorsParts } from "../checkpoint/write.ts";
import type { FusionStrategy } from "../models/fusion/strategy.ts";
import { directory, fileSource } from "../node/files.ts";
import { encodePng, readImage, readMask } from "../node/images.ts";
import { checkOnnx } from "../node/onnx.ts";
import { checkMaskNetworks } from "../pipelines/mask.ts";
import { Trace } from "../pipelines/trace.ts";
import type { TryOnInputs, TryOnResult, WornGarment } from "../pipelines/inputs.ts";
import { TryOnPipeline } from "../pipelines/try-on.ts";
import { InputError } from "../util/errors.ts";
import type { GrayImage, RgbImage } from "../vision/image.ts";
import { ATTENTION_FILES, attentionFiles, mapsOf } from "./attention.ts";
import { DEBUG_FILES, debugFiles } from "./debug.ts";
import { checkpointFolder, checkSteps, trainedUnets } from "./checkpoints.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { openFusion } from "./fusion.ts";
import { maskFromFiles } from "./labels.ts";
import { interruptible, type Interrupt } from "./interrupt.ts";
import { parseTryOn, protectionOf, type TryOnOptions } from "./options.ts";
import { checkFile, checkFolder, isInside, refuseCollision, roundAll, writeAll } from "./output.ts";
import { packageInfo } from "../node/package.ts";
import { Progress } from "./progress.ts";
import { say } from "./stderr.ts";
import type { FileContent } from "../util/host.ts";

/** Options as commander hands them over: strings and switches. */
export type TryOnArguments = Readonly<Record<string, unknown>>;

/** What `toile try-on --json` prints. */
interface Report {
  readonly images: readonly string[];
  /** With --paste-back. */
  readonly pasted?: readonly string[];
  readonly mask: string;
  readonly masked: string;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly scale: number;
  /** Milliseconds. */
  readonly timings: Readonly<Record<string, number>>;
  readonly adapter: string;
  readonly dtype: string;
}

/** `toile try-on`: reads and checks everything that can be checked without a device first. */
export async function tryOn(raw: TryOnArguments): Promise<ExitCode> {
  const began = performance.now();
  const options = parseTryOn(raw);
  await checkPlaces(options);
  const progress = new Progress();
  return interruptible((interrupt) => dress(options, began, interrupt, progress).finally(() => progress.clear()));
}

async function dress(
  options: TryOnOptions,
  began: number,
  interrupt: Interrupt,
  progress: Progress,
): Promise<ExitCode> {
  const inputs = await readInputs(options);
  const folder = await checkpointFolder(options.checkpoints);
  await checkSteps(directory(folder), options);
  if (!inputs.mask || options.maskCombine !== "replace") {
    for (const { category } of [options, ...options.moreGarment]) await checkMaskNetworks(directory(folder), category);
    await checkOnnx();
  }
  const maps = mapsOf(options);
  const watched = maps ? { ...inputs, fusion: maps.watching(inputs.fusion) } : inputs;
  const { result, trace, adapter, load } = await compute(options, watched, folder, interrupt.signal, progress);
  interrupt.finish();
  const shown = maps ? await attentionFiles(options.attention!, maps, result) : [];
  const files = await write(options, result, trace, shown);
  progress.clear();
  for (const warning of result.warnings) say(`toile: note: ${warning}`);
  const timings = roundAll({ load, ...result.timings, total: performance.now() - began });
  const { seed, width, height, steps, guidanceScale: scale, dtype } = result;
  const report = { ...files, seed, width, height, steps, scale, timings, adapter, dtype };
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : text(report));
  return EXIT.ok;
}

type Pictures = Pick<TryOnInputs, "person" | "garment" | "moreGarments" | "mask" | "regions" | "noise"> & {
  readonly fusion: FusionStrategy;
};

interface Computed {
  readonly result: TryOnResult;
  readonly trace: Trace | undefined;
  readonly adapter: string;
  /** Milliseconds until the models were on the device. */
  readonly load: number;
}

async function compute(
  options: TryOnOptions,
  inputs: Pictures,
  folder: string,
  signal: AbortSignal,
  progress: Progress,
): Promise<Computed> {
  const began = performance.now();
  const trained = await trainedUnets(options, directory(folder), inputs.fusion.name);
  const device = await adapterDevice();
  const onProgress = progress.update.bind(progress);
  const { model, dtype, offload, width, height, samples } = options;
  const memory = options.memory === undefined ? {} : { memory: options.memory * 1e9 };
  const pipeline = await TryOnPipeline.fromPretrained(directory(folder), {
    ...{ ...trained, device, model, dtype, offload, ...memory, signal, onProgress },
    largest: { width, height, samples },
  });
  const load = performance.now() - began;
  const trace = options.trace === undefined ? undefined : new Trace();
  const { category, steps, scale: guidanceScale, scheduler, repaint } = options;
  const { maskCombine, maskMode, maskGrow, fit, pasteBack, trimGarment } = options;
  const seed = options.seed === -1 ? Math.floor(Math.random() * 2 ** 31) : options.seed;
  const result = await pipeline({
    ...inputs,
    guidanceBatch: options.guidanceBatch === "auto" ? "auto" : options.guidanceBatch === "1" ? 1 : 2,
    ...{ category, width, height, steps, guidanceScale, samples, seed, scheduler, repaint, signal, onProgress },
    ...{ maskCombine, maskMode, maskGrow, protect: protectionOf(options), fit, pasteBack, trimGarment },
    ...(trace && { trace }),
  });
  return { result, trace, adapter: device.facts.name, load };
}

async function readInputs(options: TryOnOptions): Promise<Pictures> {
  const [person, garment] = [await readImage(options.person), await readImage(options.garment)];
  const moreGarments: WornGarment[] = [];
  for (const { category, file } of options.moreGarment) moreGarments.push({ category, garment: await readImage(file) });
  const { mask, regions } = await readOrMakeMask(options);
  if (mask && !mask.data.some((value) => value >= 127))
    throw new InputError((options.mask ?? options.labels)!, "the mask is all black: there is nothing to paint");
  const noise = options.noise === undefined ? undefined : await readNoise(options.noise);
  const fusion = await openFusion(options.fusion);
  const where = { ...(mask && { mask }), ...(regions && { regions }) };
  return { person, garment, moreGarments, fusion, ...where, ...(noise && { noise }) };
}

async function readOrMakeMask(
  options: TryOnOptions,
): Promise<{ readonly mask?: GrayImage; readonly regions?: readonly GrayImage[] }> {
  const more = options.moreGarment.map(({ category }) => category);
  if (options.labels !== undefined) return maskFromFiles(options, more);
  return options.mask === undefined ? {} : { mask: await readMask(options.mask) };
}

/** The pipeline checks the shape: it depends on the checkpoint's VAE. */
async function readNoise(file: string): Promise<NonNullable<Pictures["noise"]>> {
  const source = await openSafetensors(await fileSource(file));
  try {
    const found = source.tensors.get("noise");
    if (!found) throw new InputError(file, 'there is no tensor named "noise"');
    if (found.dtype !== "F32") throw new InputError(file, `noise is ${found.dtype}, F32 is needed`);
    const data = new Float32Array((await source.read("noise")).buffer);
    if (!data.every(Number.isFinite)) throw new InputError(file, "noise holds values that are not finite");
    return { shape: found.shape, data };
  } finally {
    await source.close();
  }
}

/** The files of a run, in `--out`. */
function names({ model, samples, pasteBack }: TryOnOptions) {
  const numbered = (name: string) => Array.from({ length: samples }, (_, i) => `${name}_${model}_${i}.png`);
  return {
    images: numbered("out"),
    pasted: pasteBack ? numbered("pasted") : [],
    mask: "mask.png",
    masked: "masked.png",
  };
}

/** A run of minutes must not fail at its end for want of a place to write to. Makes nothing yet. */
async function checkPlaces(options: TryOnOptions): Promise<void> {
  const { out, debug, trace, person, garment, moreGarment, mask, labels, keypoints, noise } = options;
  const own = Object.values(names(options)).flat();
  if (trace !== undefined) {
    const inputs = [person, garment, ...moreGarment.map((more) => more.file), mask, labels, keypoints, noise].filter(
      (path) => path !== undefined,
    );
    const shown = debug === undefined ? [] : DEBUG_FILES.map((name) => join(debug, name));
    refuseCollision("--trace", trace, [...own.map((name) => join(out, name)), ...shown, ...inputs]);
  }
  await checkFolder(out, own);
  if (debug !== undefined) await checkFolder(debug, DEBUG_FILES);
  if (options.attention !== undefined) await checkFolder(options.attention, ATTENTION_FILES);
  if (trace === undefined) return;
  if (isInside(trace, out)) await checkFolder(dirname(trace), [basename(trace)]);
  else await checkFile(trace);
}

async function write(
  options: TryOnOptions,
  result: TryOnResult,
  trace: Trace | undefined,
  attention: readonly (readonly [string, FileContent])[],
): Promise<Pick<Report, "images" | "pasted" | "mask" | "masked">> {
  const at = (name: string) => join(options.out, name);
  const own = names(options);
  const [mask, masked] = [at(own.mask), at(own.masked)];
  const files: (readonly [string, FileContent])[] = [...attention];
  const add = async (name: string, image: RgbImage, i: number) =>
    files.push([at(name), await encodePng(image, { text: parameters(options, result, i) })]);
  for (const [i, name] of own.images.entries()) await add(name, result.images[i]!, i);
  for (const [i, name] of own.pasted.entries()) await add(name, result.pasted![i]!, i);
  files.push([mask, await encodePng(result.mask)], [masked, await encodePng(result.masked)]);
  if (options.debug !== undefined) files.push(...(await debugFiles(options.debug, result)));
  if (trace && options.trace !== undefined) files.push([options.trace, traceFile(trace, options, result)]);
  await writeAll(files);
  const pasted = own.pasted.map(at);
  return { images: own.images.map(at), ...(options.pasteBack && { pasted }), mask, masked };
}

function traceFile(
  trace: Trace,
  { model, category, samples }: TryOnOptions,
  { seed, width, height, steps, guidanceScale }: TryOnResult,
): Uint8Array[] {
  const tensors = [...trace.tensors].map(([name, { shape, data }]) => ({ name, dtype: "F32", shape, data }));
  const facts = {
    model,
    category,
    num_samples: samples,
    seed,
    width,
    height,
    num_steps: steps,
    image_scale: guidanceScale,
  };
  return safetensorsParts(
    tensors,
    Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, String(value)])),
  );
}

/** The PNG's text: for people as image tools show it, and for programs. */
function parameters(
  options: TryOnOptions,
  { seed, width, height, steps, guidanceScale, dtype }: TryOnResult,
  sample: number,
): Record<string, string> {
  const { model, category, fusion, scheduler, repaint, samples, moreGarment } = options;
  const settings = {
    model,
    category,
    ...(fusion !== "concat" && { fusion: basename(fusion) }),
    ...(moreGarment.length > 0 && { with: moreGarment.map((more) => `${more.category}:${basename(more.file)}`) }),
    steps,
    scheduler,
    scale: guidanceScale,
    seed,
    sample,
    samples,
    width,
    height,
    dtype,
    repaint,
  };
  const [person, garment, mask] = [options.person, options.garment, options.mask ?? "generated"].map((path) =>
    basename(path),
  );
  const readable = Object.entries({ person, garment, ...settings }).map(([name, value]) => `${name}: ${value}`);
  const { version } = packageInfo();
  return {
    parameters: readable.join(", "),
    toile: JSON.stringify({ version, ...settings, person, garment, mask }),
    Software: `toile ${version}`,
  };
}

function text({ images, mask, masked, seed, width, height, steps, scale, timings, adapter, dtype }: Report): string {
  const seconds = ((timings["total"] ?? 0) / 1000).toFixed(1);
  const settings = `seed ${seed}, ${width} × ${height}, ${steps} steps, scale ${scale}, ${dtype}, ${seconds} s on ${adapter}`;
  return `${[...images, mask, masked, settings].join("\n")}\n`;
}
