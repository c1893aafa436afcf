import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { directory } from "../node/files.ts";
import { encodePng, readImage, readMask } from "../node/images.ts";
import { packageInfo, shipped } from "../node/package.ts";
import type { GenerationResult } from "../pipelines/generation.ts";
import { CHANGE, imageToImage } from "../pipelines/image-to-image.ts";
import { ANEW, inpaint } from "../pipelines/inpaint.ts";
import { isFilePath, layoutConfigs } from "../pipelines/sd_components.ts";
import { StableDiffusion } from "../pipelines/stable-diffusion.ts";
import { textToImage } from "../pipelines/text-to-image.ts";
import type { GrayImage, RgbImage } from "../vision/image.ts";
import { configuredScheduler } from "../schedulers/create.ts";
import { InputError } from "../util/errors.ts";
import { checkTimesteps } from "./checkpoints.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, UsageError, type ExitCode } from "./errors.ts";
import { interruptible, type Interrupt } from "./interrupt.ts";
import { file, oneOf, parseOptions, real, SCHEDULERS, size, whole } from "./options.ts";
import { checkFolder, roundAll, writeAll } from "./output.ts";
import { Progress } from "./progress.ts";
import { say } from "./stderr.ts";

const lora = file.transform((text) => {
  const found = /^(.+):([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/i.exec(text);
  return found ? { path: found[1]!, weight: Number(found[2]) } : { path: text, weight: 1 };
});

const GenerateOptions = z
  .object({
    prompt: z.string({ error: "is needed" }),
    negativePrompt: z.string(),
    checkpoints: file,
    image: file.optional(),
    mask: file.optional(),
    strength: real(0, 1).optional(),
    lora: z.array(lora),
    tokenizer: file.optional(),
    extractEma: z.boolean().default(false),
    steps: whole(1, 1000),
    scale: real(0, 100),
    samples: whole(1, 64),
    seed: whole(-1, Number.MAX_SAFE_INTEGER),
    scheduler: oneOf(SCHEDULERS).optional(),
    width: size.optional(),
    height: size.optional(),
    dtype: oneOf(["auto", "f32", "f16"]),
    out: file,
    json: z.boolean().default(false),
  })
  .superRefine(({ image, mask, strength, steps }, context) => {
    const complain = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (mask !== undefined && image === undefined) complain("mask", "needs --image");
    if (strength !== undefined && image === undefined) complain("strength", "needs --image");
    if (strength !== undefined && strength * steps < 1) complain("strength", `of ${steps} steps leaves none to run`);
  });

type GenerateOptions = z.infer<typeof GenerateOptions>;

/** `toile generate`: text to image, with --image image to image, with --mask inpainting. */
export async function generate(raw: Readonly<Record<string, unknown>>): Promise<ExitCode> {
  const began = performance.now();
  const options = parseOptions(GenerateOptions, raw);
  const files = Array.from({ length: options.samples }, (_, i) => join(options.out, `generated_${i}.png`));
  await checkFolder(
    options.out,
    files.map((_, i) => `generated_${i}.png`),
  );
  const progress = new Progress();
  return interruptible((interrupt) =>
    paint(options, files, began, interrupt, progress).finally(() => progress.clear()),
  );
}

async function paint(
  options: GenerateOptions,
  files: readonly string[],
  began: number,
  interrupt: Interrupt,
  progress: Progress,
): Promise<ExitCode> {
  const image = options.image === undefined ? undefined : await readImage(options.image);
  const mask = options.mask === undefined ? undefined : await readMask(options.mask);
  for (const { path } of options.lora)
    if (!(await stat(path).catch(() => undefined))?.isFile())
      throw new InputError(path, "no such LoRA file (a scale follows a colon: style.safetensors:0.8)");
  const isFile = isFilePath(options.checkpoints);
  if (options.extractEma && !isFile) throw new UsageError("--extract-ema is for a single file, not a folder");
  if (!isFile) {
    const { scheduler } = await layoutConfigs(directory(options.checkpoints));
    checkTimesteps(configuredScheduler(scheduler, options.scheduler), options.steps);
  }
  const device = await adapterDevice();
  const onProgress = progress.update.bind(progress);
  const { dtype, extractEma, checkpoints } = options;
  const { signal } = interrupt;
  const tokenizer = options.tokenizer ?? (isFile ? shipped("weights/ootd/tokenizer") : undefined);
  const model = await StableDiffusion.load(checkpoints, { device, dtype, extractEma, tokenizer, signal, onProgress });
  const config = model.components.scheduler;
  if (isFile) checkTimesteps(configuredScheduler(config, options.scheduler), options.steps);
  for (const [i, { path }] of options.lora.entries()) await model.loadLoraWeights(path, { adapterName: `lora_${i}` });
  if (options.lora.length)
    await model.setAdapters(
      options.lora.map((_, i) => `lora_${i}`),
      options.lora.map(({ weight }) => weight),
    );
  const load = performance.now() - began;
  const result = await run(model, options, { image, mask }, { signal, onProgress });
  interrupt.finish();
  const { scheduler = String(config["_class_name"]) } = options;
  await write(files, { ...options, scheduler }, result);
  progress.clear();
  for (const warning of result.warnings) say(`toile: note: ${warning}`);
  const { seed, width, height, steps, guidanceScale: scale } = result;
  const timings = roundAll({ load, ...result.timings, total: performance.now() - began });
  const report = { images: files, seed, width, height, steps, scale, timings, adapter: device.facts.name };
  const settings = `seed ${seed}, ${width} × ${height}, ${steps} steps, scale ${scale}, ${result.dtype} on ${report.adapter}`;
  const text = [...files, settings].join("\n");
  process.stdout.write(`${options.json ? JSON.stringify({ ...report, dtype: result.dtype }) : text}\n`);
  return EXIT.ok;
}

function run(
  model: StableDiffusion,
  options: GenerateOptions,
  { image, mask }: { readonly image: RgbImage | undefined; readonly mask: GrayImage | undefined },
  listener: { readonly signal: AbortSignal; readonly onProgress: Progress["update"] },
): Promise<GenerationResult> {
  const { prompt, negativePrompt, steps, scale: guidanceScale, samples, seed, scheduler, width, height } = options;
  const asked = { prompt, negativePrompt, steps, guidanceScale, samples, seed, scheduler, width, height, ...listener };
  if (!image) return textToImage(model)(asked);
  const changed = { ...asked, image, strength: options.strength };
  return mask ? inpaint(model)({ ...changed, maskImage: mask }) : imageToImage(model)(changed);
}

async function write(
  files: readonly string[],
  options: Omit<GenerateOptions, "scheduler"> & { readonly scheduler: string },
  result: GenerationResult,
): Promise<void> {
  const { prompt, negativePrompt, scheduler, checkpoints, image, mask, samples } = options;
  const { strength = mask === undefined ? CHANGE : ANEW } = options;
  const lora = options.lora.map(({ path, weight }) => `${path}:${weight}`).join(" ") || undefined;
  const { seed, width, height, steps, guidanceScale: scale, dtype } = result;
  const read = { checkpoints, lora, image, mask, strength: image === undefined ? undefined : strength };
  const made = { steps, scheduler, scale, seed, samples, width, height, dtype };
  const { version } = packageInfo();
  const encoded: [string, Uint8Array][] = [];
  for (const [sample, picture] of result.images.entries()) {
    const settings = { prompt, negativePrompt, ...read, ...made, sample };
    const given = Object.entries(settings).filter(([, value]) => value !== undefined && value !== "");
    const text = {
      parameters: given.map(([name, value]) => `${name}: ${value}`).join(", "),
      toile: JSON.stringify({ version, ...settings }),
      Software: `toile ${version}`,
    };
    encoded.push([files[sample]!, await encodePng(picture, { text })]);
  }
  await writeAll(encoded);
}
