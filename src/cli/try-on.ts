import { mkdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { openSafetensors } from "../checkpoint/safetensors.ts";
import { safetensorsParts } from "../checkpoint/write.ts";
import { directory, fileSource, writeFileAtomic } from "../node/files.ts";
import { encodePng, readImage, readMask } from "../node/images.ts";
import { Trace } from "../pipelines/trace.ts";
import { checkTryOn, type TryOnInputs, type TryOnResult } from "../pipelines/inputs.ts";
import { TryOnPipeline } from "../pipelines/try-on.ts";
import { InputError } from "../util/errors.ts";
import { debugFiles } from "./debug.ts";
import { checkpointFolder } from "./checkpoints.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { Interrupt } from "./interrupt.ts";
import { parseTryOn, protectionOf, type TryOnOptions } from "./options.ts";
import { packageInfo } from "./package.ts";
import { Progress } from "./progress.ts";
import { say } from "./stderr.ts";

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
  checkTryOn(options.model, options.category, options.width, options.height);
  const inputs = await readInputs(options);
  const folder = await checkpointFolder(options.checkpoints);
  await checkWritable(options);
  const interrupt = new Interrupt();
  const progress = new Progress();
  try {
    const { result, trace, adapter, load } = await interrupt.race(
      compute(options, inputs, folder, interrupt.signal, progress),
    );
    interrupt.finish();
    const files = await write(options, result, trace);
    progress.clear();
    for (const warning of result.warnings) say(`toile: note: ${warning}`);
    const timings = roundAll({ load, ...result.timings, total: performance.now() - began });
    const { seed, width, height, steps, guidanceScale: scale, dtype } = result;
    const report = { ...files, seed, width, height, steps, scale, timings, adapter, dtype };
    process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : text(report));
    return EXIT.ok;
  } catch (error) {
    progress.clear();
    if (!interrupt.signal.aborted) throw error;
    say("toile: interrupted, nothing was written");
    return EXIT.interrupted;
  }
}

type Pictures = Pick<TryOnInputs, "person" | "garment" | "mask" | "noise">;

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
  const device = await adapterDevice();
  const onProgress = progress.update.bind(progress);
  const { model, dtype } = options;
  const pipeline = await TryOnPipeline.fromPretrained(directory(folder), { device, model, dtype, signal, onProgress });
  const load = performance.now() - began;
  const trace = options.trace === undefined ? undefined : new Trace();
  const { category, width, height, steps, scale: guidanceScale, samples, scheduler, repaint } = options;
  const { maskCombine, maskMode, maskGrow, fit, pasteBack, trimGarment } = options;
  const seed = options.seed === -1 ? Math.floor(Math.random() * 2 ** 31) : options.seed;
  const result = await pipeline({
    ...inputs,
    ...{ category, width, height, steps, guidanceScale, samples, seed, scheduler, repaint, signal, onProgress },
    ...{ maskCombine, maskMode, maskGrow, protect: protectionOf(options), fit, pasteBack, trimGarment },
    ...(trace && { trace }),
  });
  return { result, trace, adapter: device.facts.name, load };
}

const roundAll = (times: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, Math.round(ms * 10) / 10]));

async function readInputs(options: TryOnOptions): Promise<Pictures> {
  const [person, garment] = [await readImage(options.person), await readImage(options.garment)];
  const mask = options.mask === undefined ? undefined : await readMask(options.mask);
  if (mask && !mask.data.some((value) => value >= 127))
    throw new InputError(options.mask!, "the mask is all black: there is nothing to paint");
  const noise = options.noise === undefined ? undefined : await readNoise(options.noise);
  return { person, garment, ...(mask && { mask }), ...(noise && { noise }) };
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

/** A run of minutes must not fail at its end for want of a folder. Makes nothing yet. */
async function checkWritable({ out, trace }: TryOnOptions): Promise<void> {
  for (let at = resolve(out); ; at = dirname(at)) {
    const found = await stat(at).catch(() => undefined);
    if (found && !found.isDirectory()) throw new InputError(out, `${at} is not a folder`);
    if (found) break;
  }
  if (trace === undefined) return;
  const parent = await stat(dirname(resolve(trace))).catch(() => undefined);
  if (!parent?.isDirectory()) throw new InputError(trace, "its folder does not exist");
  if ((await stat(trace).catch(() => undefined))?.isDirectory()) throw new InputError(trace, "is a folder, not a file");
}

async function write(
  options: TryOnOptions,
  result: TryOnResult,
  trace: Trace | undefined,
): Promise<Pick<Report, "images" | "pasted" | "mask" | "masked">> {
  await mkdir(options.out, { recursive: true }).catch((error: Error) => {
    throw new InputError(options.out, `cannot be made: ${error.message}`);
  });
  const at = (name: string) => join(options.out, name);
  const images = result.images.map((_, i) => at(`out_${options.model}_${i}.png`));
  const encoded: [string, Uint8Array][] = [];
  for (const [i, image] of result.images.entries())
    encoded.push([images[i]!, await encodePng(image, { text: parameters(options, result, i) })]);
  const [mask, masked] = [at("mask.png"), at("masked.png")];
  encoded.push([mask, await encodePng(result.mask)], [masked, await encodePng(result.masked)]);
  const pasted = result.pasted?.map((_, i) => at(`pasted_${options.model}_${i}.png`));
  for (const [i, image] of (result.pasted ?? []).entries())
    encoded.push([pasted![i]!, await encodePng(image, { text: parameters(options, result, i) })]);
  if (options.debug !== undefined) encoded.push(...(await debugFiles(options.debug, result)));
  for (const [path, bytes] of encoded) await writeFileAtomic(path, bytes);
  if (trace && options.trace !== undefined) await writeFileAtomic(options.trace, traceFile(trace, options, result));
  return { images, ...(pasted && { pasted }), mask, masked };
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
  const { model, category, scheduler, repaint, samples } = options;
  const settings = {
    model,
    category,
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
