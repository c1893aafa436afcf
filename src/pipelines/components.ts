import { foreignToTower } from "../checkpoint/keys.ts";
import { fillModule } from "../checkpoint/fill.ts";
import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { CLIPTextModel } from "../models/clip/text.ts";
import type { Tokenizer } from "../models/clip/tokenizer.ts";
import { CLIPVisionModelWithProjection, visionConfig } from "../models/clip/vision.ts";
import { UNet2DConditionModel } from "../models/unet/unet.ts";
import { AutoencoderKL } from "../models/vae/vae.ts";
import type { Module } from "../nn/module.ts";
import { InputError } from "../util/errors.ts";
import { json, loadTokenizer } from "./load.ts";
import type { TryOnNetworks } from "./memory.ts";
import { Residency } from "./residency.ts";

export const MODELS = ["hd", "dc"] as const;
export type TryOnModel = (typeof MODELS)[number];

/** What turns pictures and texts into what the UNets read, and back. */
export interface TryOnEncoders {
  /** Networks have weights after `residency.only(network)`. */
  readonly residency: Residency;
  readonly vae: AutoencoderKL;
  readonly textEncoder: CLIPTextModel;
  readonly imageEncoder: CLIPVisionModelWithProjection;
  readonly tokenizer: Tokenizer;
  /** scheduler_config.json and preprocessor_config.json as they stand. */
  readonly scheduler: Record<string, unknown>;
  readonly preprocessor: Record<string, unknown>;
}

/** Everything a try-on needs. */
export interface TryOnComponents extends TryOnEncoders {
  readonly garmentUnet: UNet2DConditionModel;
  readonly tryOnUnet: UNet2DConditionModel;
}

export interface LoadOptions {
  readonly model: TryOnModel;
  readonly dtype: "f32" | "f16";
  /** Asked once the networks are known: whether they are to be loaded only when they are needed. Default no. */
  readonly offloads?: (networks: TryOnNetworks) => boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

const CLIP = "clip-vit-large-patch14";

/** What a folder of checkpoints holds, for messages. */
export const LAYOUT = `ootd/{vae,text_encoder,tokenizer,scheduler}, ootd/ootd_{hd,dc}/checkpoint-36000 and ${CLIP}`;

/** A wrong folder is told from one that lacks a file. */
async function checkLayout(folder: Folder, unets: string): Promise<void> {
  const configs = ["ootd/vae", "ootd/text_encoder", `${unets}/unet_garm`, CLIP].map((part) => `${part}/config.json`);
  for (const config of configs) if (await folder.has(config)) return;
  throw new InputError(folder.name, `no checkpoint: it should hold ${LAYOUT}`);
}

/** Loads a try-on's models from a folder in the published layout. On failure what was loaded is freed. */
export async function loadComponents(device: Device, folder: Folder, options: LoadOptions): Promise<TryOnComponents> {
  const unets = `ootd/ootd_${options.model}/checkpoint-36000`;
  await checkLayout(folder, unets);
  const { networks: encoders, others } = await readEncoders(folder);
  const { latent_channels: latent } = encoders.vae.config;
  const garmentUnet = await readUnet(folder, `${unets}/unet_garm`, latent);
  const tryOnUnet = await readUnet(folder, `${unets}/unet_vton`, 2 * latent);
  const networks = { ...encoders, garmentUnet, tryOnUnet };
  const files = { ...ENCODERS, garmentUnet: `${unets}/unet_garm`, tryOnUnet: `${unets}/unet_vton` };
  const later = options.offloads?.(networks) ?? false;
  return { ...others, ...networks, residency: await load(device, folder, options, networks, files, later) };
}

/** The same without the UNets. */
export async function loadEncoders(
  device: Device,
  folder: Folder,
  options: Omit<LoadOptions, "model" | "offloads">,
): Promise<TryOnEncoders> {
  const { networks, others } = await readEncoders(folder);
  return { ...others, ...networks, residency: await load(device, folder, options, networks, ENCODERS, false) };
}

const ENCODERS = { vae: "ootd/vae", textEncoder: "ootd/text_encoder", imageEncoder: CLIP } as const;

/** Names of files in a network's folder, and keys in them that are another network's. */
const WEIGHTS: Readonly<Record<string, { readonly name: string; readonly ignore?: (key: string) => boolean }>> = {
  textEncoder: { name: "model", ignore: foreignToTower("text") },
  imageEncoder: { name: "model", ignore: foreignToTower("vision") },
};

/** Fills networks from their folders, or sees to it that they are filled when they are needed. */
async function load<N extends object>(
  device: Device,
  folder: Folder,
  { dtype, signal, onProgress }: Omit<LoadOptions, "model">,
  networks: N & Readonly<Record<keyof N, Module>>,
  files: Readonly<Record<keyof N, string>>,
  later: boolean,
): Promise<Residency> {
  const residency = new Residency(device, later);
  const names = Object.keys(files) as (keyof N & string)[];
  try {
    for (const [done, network] of names.entries()) {
      signal?.throwIfAborted();
      const { name = "diffusion_pytorch_model", ignore } = WEIGHTS[network] ?? {};
      const [module, path] = [networks[network], files[network]];
      const options = { label: path.split("/").at(-1) ?? path, dtype, ...(ignore && { ignore }) };
      await residency.add(module, () => fillModule(device, module, folder, `${path}/${name}`, options));
      onProgress?.(done + 1, names.length);
    }
    return residency;
  } catch (error) {
    residency.dispose();
    throw error;
  }
}

async function readEncoders(folder: Folder) {
  const vision = visionConfig(await json(folder, `${CLIP}/config.json`));
  const [vae, text] = [await json(folder, "ootd/vae/config.json"), await json(folder, "ootd/text_encoder/config.json")];
  const networks = {
    vae: new AutoencoderKL(vae),
    textEncoder: new CLIPTextModel(text),
    imageEncoder: new CLIPVisionModelWithProjection(vision),
  };
  const others = {
    scheduler: await json(folder, "ootd/scheduler/scheduler_config.json"),
    preprocessor: await json(folder, `${CLIP}/preprocessor_config.json`),
    tokenizer: await loadTokenizer(folder, "ootd/tokenizer/"),
  };
  return { networks, others };
}

async function readUnet(folder: Folder, path: string, channels: number): Promise<UNet2DConditionModel> {
  const network = new UNet2DConditionModel(await json(folder, `${path}/config.json`));
  const found = network.config.in_channels;
  if (found !== channels)
    throw new InputError(folder.name, `${path}/config.json has in_channels ${found}, ${channels} are needed`);
  return network;
}
