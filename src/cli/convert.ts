import { stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { z } from "zod";
import { foreignToTower } from "../checkpoint/keys.ts";
import { checkModule } from "../checkpoint/load.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import {
  CONFIG_KEY,
  openSingleFile,
  PARTS,
  toSingleFile,
  type Configs,
  type Converted,
  type SingleFile,
} from "../checkpoint/single_file.ts";
import type { TensorSource } from "../checkpoint/source.ts";
import { openTensors } from "../checkpoint/tensors.ts";
import { safetensorsStream, type TensorToFetch } from "../checkpoint/write.ts";
import { CLIPTextModel } from "../models/clip/text.ts";
import { UNet2DConditionModel } from "../models/unet/unet.ts";
import { AutoencoderKL } from "../models/vae/vae.ts";
import { directory, fileSource, writeFileAtomic } from "../node/files.ts";
import { shipped } from "../node/package.ts";
import { outputFolder } from "../node/staging.ts";
import { loadTokenizer } from "../pipelines/load.ts";
import { layoutConfigs, LAYOUT_FILES } from "../pipelines/sd_components.ts";
import { InputError } from "../util/errors.ts";
import { decodeBF16, decodeF16, encodeF16 } from "../util/float16.ts";
import { EXIT, UsageError, type ExitCode } from "./errors.ts";
import { interruptible, type Interrupt } from "./interrupt.ts";
import { file, oneOf, parseOptions } from "./options.ts";
import { checkFile, checkFolder } from "./output.ts";

const ConvertOptions = z.object({
  dtype: oneOf(["keep", "f16", "f32"]),
  extractEma: z.boolean().default(false),
  tokenizer: file.optional(),
  json: z.boolean().default(false),
});

type ConvertOptions = z.infer<typeof ConvertOptions>;

/** `toile convert IN OUT`: a single file to diffusers' layout or back, strictly checked before anything is written. */
export async function convert(from: string, to: string, raw: Readonly<Record<string, unknown>>): Promise<ExitCode> {
  const options = parseOptions(ConvertOptions, raw);
  if (!from || !to) throw new UsageError(`<${from ? "out" : "in"}> "" is empty: a file or a folder is needed`);
  const found = await stat(from).catch(() => undefined);
  if (!found) throw new InputError(from, "no such file or folder");
  const toFile = /\.safetensors$/i.test(to);
  if (found.isDirectory() !== toFile)
    throw new UsageError(
      found.isDirectory()
        ? `<out> "${to}": a folder becomes a single file, its name ends in .safetensors`
        : `<out> "${to}": a single file becomes a folder, its name does not end in .safetensors`,
    );
  if (toFile && (options.extractEma || options.tokenizer !== undefined))
    throw new UsageError(`${options.extractEma ? "--extract-ema" : "--tokenizer"} is for a single file, not a folder`);
  if (await stat(resolve(to)).catch(() => undefined))
    throw new InputError(to, `exists already: give the name of a new ${toFile ? "file" : "folder"}`);
  const work = async (interrupt: Interrupt) => {
    const tensors = await (toFile ? folderToFile : fileToFolder)(from, to, options, interrupt);
    process.stdout.write(options.json ? `${JSON.stringify({ out: to, tensors })}\n` : `${to}: ${tensors} tensors\n`);
    return EXIT.ok;
  };
  return interruptible(work, undefined, { heeds: true });
}

/** Throws unless the parts hold exactly what their configurations say. */
function checkParts(parts: SingleFile["parts"], configs: Configs): void {
  checkModule(new UNet2DConditionModel(configs.unet), parts.unet, { label: "unet" });
  checkModule(new AutoencoderKL(configs.vae), parts.vae, { label: "vae" });
  const ignore = foreignToTower("text");
  checkModule(new CLIPTextModel(configs.text_encoder), parts.text_encoder, { label: "text_encoder", ignore });
}

const TYPES = { keep: undefined, f16: "F16", f32: "F32" } as const;

/** A tensor to be written in another type, read when its turn comes. */
function streamed(
  { info, source, from }: Converted,
  dtype: ConvertOptions["dtype"],
  { signal }: Interrupt,
): TensorToFetch {
  const { name, shape } = info;
  const to = TYPES[dtype] ?? info.dtype;
  const fetch = async () => {
    signal.throwIfAborted();
    return retyped(await source.read(from), info.dtype, to);
  };
  return { name, shape, dtype: to, fetch };
}

function retyped(bytes: Uint8Array<ArrayBuffer>, from: string, to: string): Uint8Array {
  if (from === to) return bytes;
  const { buffer } = bytes;
  const numbers =
    from === "F32" ? new Float32Array(buffer) : (from === "F16" ? decodeF16 : decodeBF16)(new Uint16Array(buffer));
  const made = to === "F16" ? encodeF16(numbers) : numbers;
  return new Uint8Array(made.buffer, made.byteOffset, made.byteLength);
}

async function folderToFile(
  from: string,
  to: string,
  { dtype }: ConvertOptions,
  interrupt: Interrupt,
): Promise<number> {
  await checkFile(to);
  const folder = directory(from);
  const configs = await layoutConfigs(folder);
  const opened: TensorSource[] = [];
  const open = async (part: keyof typeof LAYOUT_FILES) => {
    opened.push(await openCheckpoint(folder, LAYOUT_FILES[part]));
    return opened.at(-1)!;
  };
  try {
    const parts = { unet: await open("unet"), vae: await open("vae"), text_encoder: await open("text_encoder") };
    checkParts(parts, configs);
    const tensors = toSingleFile(parts, configs).map((tensor) => streamed(tensor, dtype, interrupt));
    const metadata = { format: "pt", [CONFIG_KEY]: JSON.stringify(configs) };
    await writeFileAtomic(to, safetensorsStream(tensors, metadata));
    return tensors.length;
  } finally {
    for (const source of opened) await source.close();
  }
}

async function fileToFolder(from: string, to: string, options: ConvertOptions, interrupt: Interrupt): Promise<number> {
  await checkFolder(dirname(resolve(to)));
  const { dtype, extractEma, tokenizer = shipped("weights/ootd/tokenizer") } = options;
  const vocabulary = directory(tokenizer);
  await loadTokenizer(vocabulary); // a broken one is told now
  const source = await openTensors(await fileSource(from));
  const staged = await outputFolder(dirname(resolve(to))).stage(basename(resolve(to)), { replace: false });
  try {
    const { parts, configs } = openSingleFile(source, { extractEma });
    checkParts(parts, configs);
    const json = (value: object) => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
    let written = 0;
    for (const part of PARTS) {
      const tensors = [...parts[part].tensors.values()];
      const streams = tensors.map((info) => streamed({ info, source: parts[part], from: info.name }, dtype, interrupt));
      await staged.write(`${LAYOUT_FILES[part]}.safetensors`, safetensorsStream(streams, { format: "pt" }));
      await staged.write(`${part}/config.json`, json(configs[part]));
      written += tensors.length;
    }
    await staged.write("scheduler/scheduler_config.json", json(configs.scheduler));
    for (const name of [
      "vocab.json",
      "merges.txt",
      "tokenizer.json",
      "tokenizer_config.json",
      "special_tokens_map.json",
    ])
      if (await vocabulary.has(name))
        await staged.write(`tokenizer/${name}`, new TextEncoder().encode(await vocabulary.text(name)));
    await staged.write("model_index.json", json(modelIndex(configs)));
    interrupt.finish();
    await staged.commit();
    return written;
  } catch (error) {
    await staged.discard();
    throw error;
  } finally {
    await source.close();
  }
}

/** What diffusers reads of a folder first. */
const modelIndex = ({ unet, scheduler }: Configs) => ({
  _class_name: unet["in_channels"] === 9 ? "StableDiffusionInpaintPipeline" : "StableDiffusionPipeline",
  _diffusers_version: "0.24.0",
  feature_extractor: [null, null],
  requires_safety_checker: false,
  safety_checker: [null, null],
  scheduler: ["diffusers", scheduler["_class_name"]],
  text_encoder: ["transformers", "CLIPTextModel"],
  tokenizer: ["transformers", "CLIPTokenizer"],
  unet: ["diffusers", "UNet2DConditionModel"],
  vae: ["diffusers", "AutoencoderKL"],
});
