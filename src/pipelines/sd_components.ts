import { foreignToTower } from "../checkpoint/keys.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { openSingleFile, type Configs, type SingleFile, type SingleFileOptions } from "../checkpoint/single_file.ts";
import type { ByteSource, Folder, TensorSource } from "../checkpoint/source.ts";
import { openTensors } from "../checkpoint/tensors.ts";
import type { Device } from "../gpu/device.ts";
import { CLIPTextModel } from "../models/clip/text.ts";
import type { Tokenizer } from "../models/clip/tokenizer.ts";
import { UNet2DConditionModel } from "../models/unet/unet.ts";
import { AutoencoderKL } from "../models/vae/vae.ts";
import { InputError } from "../util/errors.ts";
import type { OpenedLora } from "./lora.ts";
import { folderOf, json, loadTokenizer, NetworkLoader, type LoaderOptions, type StorageType } from "./load.ts";

/** Everything that Stable Diffusion 1 needs, loaded. */
export interface StableDiffusionComponents {
  readonly unet: UNet2DConditionModel;
  readonly vae: AutoencoderKL;
  readonly textEncoder: CLIPTextModel;
  /** Of the prompts. */
  readonly tokenizer: Tokenizer;
  /** scheduler_config.json as it stands. */
  readonly scheduler: Readonly<Record<string, unknown>>;
}

export interface ComponentOptions extends LoaderOptions, SingleFileOptions {
  readonly dtype: StorageType;
  /** Takes weights of that name alone, such as `fp16`; without it any will do. */
  readonly variant?: string | undefined;
  /** Folder of vocab.json and merges.txt, or of tokenizer.json: needed for a single file, which has none. */
  readonly tokenizer?: Folder | string | undefined;
}

const OP = "stable diffusion";
const isFolder = (files: Folder | ByteSource): files is Folder => "has" in files;

/** Whether a path names a checkpoint in one file, and not a folder. */
export const isFilePath = (path: string): boolean => /\.(safetensors|ckpt|pth?|bin)$/i.test(path);

/** A checkpoint as its caller names it, opened: the diffusers layout as a folder, one file as a source of bytes. */
export async function openFiles(device: Device, files: Folder | ByteSource | string): Promise<Folder | ByteSource> {
  if (!files) throw new InputError(OP, "no checkpoint was named");
  if (typeof files !== "string") return files;
  if (!isFilePath(files)) return folderOf(OP, device, files);
  const [folder, name] = splitPath(files);
  return folderOf(OP, device, folder).open(name);
}

function splitPath(path: string): [folder: string, name: string] {
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  return [path.slice(0, cut) || ".", path.slice(cut)];
}

/** What PEFT and diffusers call a LoRA in a folder of its own. */
const LORA_FILES = ["adapter_model.safetensors", "pytorch_lora_weights.safetensors", "adapter_model.bin"];

/**
 * A LoRA as its caller names it, opened, with what lies beside it.
 * @throws InputError for what is no file of tensors by its name, and for a folder that holds none
 */
export async function openLora(device: Device, files: Folder | ByteSource | string): Promise<OpenedLora> {
  const op = "loadLoraWeights";
  const opened = files ? await openFiles(device, files) : undefined;
  if (opened && !isFolder(opened)) {
    const beside = typeof files === "string" ? folderOf(op, device, splitPath(files)[0]) : undefined;
    return { file: opened, config: async () => beside && adapterConfig(beside) };
  }
  if (!opened || typeof files === "string")
    throw new InputError(
      op,
      `"${files || String(files)}" is no file: its name ends in .safetensors, .bin, .pt or .ckpt`,
    );
  for (const name of LORA_FILES)
    if (await opened.has(name)) return { file: await opened.open(name), config: () => adapterConfig(opened) };
  throw new InputError(op, `${opened.name} holds none of ${LORA_FILES.join(", ")}`);
}

const adapterConfig = async (folder: Folder) =>
  (await folder.has("adapter_config.json")) ? json(folder, "adapter_config.json") : undefined;

/** Loads a checkpoint in diffusers' layout or in one file. On failure what was loaded is freed. */
export async function loadStableDiffusion(
  device: Device,
  files: Folder | ByteSource | string,
  options: ComponentOptions,
): Promise<StableDiffusionComponents> {
  const opened = await openFiles(device, files);
  if (isFolder(opened)) {
    if (options.extractEma) throw new InputError(OP, `${opened.name} is a folder: extractEma is for a single file`);
    return loadLayout(device, opened, options);
  }
  const source = await openTensors(opened);
  try {
    const { parts, configs } = openSingleFile(source, options);
    if (options.tokenizer === undefined)
      throw new InputError(source.name, "a single file has no tokenizer: give the folder of vocab.json and merges.txt");
    const tokenizer = await loadTokenizer(folderOf(OP, device, options.tokenizer));
    return { ...(await loadNetworks(device, configs, async (part) => parts[part], options)), tokenizer };
  } finally {
    await source.close();
  }
}

/** Where each network's weights lie in diffusers' layout. */
export const LAYOUT_FILES = {
  unet: "unet/diffusion_pytorch_model",
  vae: "vae/diffusion_pytorch_model",
  text_encoder: "text_encoder/model",
} as const satisfies Record<keyof SingleFile["parts"], string>;

/** The configurations of a folder in diffusers' layout. @throws InputError when it is none of Stable Diffusion 1 */
export async function layoutConfigs(folder: Folder): Promise<Configs> {
  const { _class_name: name } = await json(folder, "model_index.json");
  if (typeof name !== "string" || !/^StableDiffusion(Img2Img|Inpaint)?Pipeline$/.test(name))
    throw new InputError(folder.name, `model_index.json is of ${String(name)}, a StableDiffusionPipeline is needed`);
  return {
    unet: await json(folder, "unet/config.json"),
    vae: await json(folder, "vae/config.json"),
    text_encoder: await json(folder, "text_encoder/config.json"),
    scheduler: await json(folder, "scheduler/scheduler_config.json"),
  };
}

async function loadLayout(
  device: Device,
  folder: Folder,
  options: ComponentOptions,
): Promise<StableDiffusionComponents> {
  const configs = await layoutConfigs(folder);
  const { tokenizer: own } = options;
  const tokenizer = own ? loadTokenizer(folderOf(OP, device, own)) : loadTokenizer(folder, "tokenizer/");
  const open = (part: keyof typeof LAYOUT_FILES) => openCheckpoint(folder, LAYOUT_FILES[part], options.variant);
  return { tokenizer: await tokenizer, ...(await loadNetworks(device, configs, open, options)) };
}

async function loadNetworks(
  device: Device,
  configs: Configs,
  open: (part: keyof typeof LAYOUT_FILES) => Promise<TensorSource>,
  options: ComponentOptions,
): Promise<Omit<StableDiffusionComponents, "tokenizer">> {
  const [unet, vae, textEncoder] = [
    new UNet2DConditionModel(configs.unet),
    new AutoencoderKL(configs.vae),
    new CLIPTextModel(configs.text_encoder),
  ];
  const [hidden, width] = [textEncoder.config.hidden_size, unet.config.cross_attention_dim];
  if (hidden !== width)
    throw new InputError(OP, `the text encoder's width is ${hidden}, the UNet's cross_attention_dim is ${width}`);
  const loader = new NetworkLoader(device, options.dtype, 3, options);
  try {
    await loader.load(textEncoder, "text_encoder", () => open("text_encoder"), foreignToTower("text"));
    await loader.load(unet, "unet", () => open("unet"));
    await loader.load(vae, "vae", () => open("vae"));
  } catch (error) {
    loader.dispose();
    throw error;
  }
  return { unet, vae, textEncoder, scheduler: configs.scheduler };
}
