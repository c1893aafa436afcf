import { foreignToTower } from "../checkpoint/keys.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { CLIPTextModel } from "../models/clip/text.ts";
import type { Tokenizer } from "../models/clip/tokenizer.ts";
import { CLIPVisionModelWithProjection, visionConfig } from "../models/clip/vision.ts";
import { UNet2DConditionModel } from "../models/unet/unet.ts";
import { AutoencoderKL } from "../models/vae/vae.ts";
import type { Module } from "../nn/module.ts";
import { InputError } from "../util/errors.ts";
import { json, loadTokenizer, NetworkLoader } from "./load.ts";

export const MODELS = ["hd", "dc"] as const;
export type TryOnModel = (typeof MODELS)[number];

/** What turns pictures and texts into what the UNets read, and back. */
export interface TryOnEncoders {
  readonly vae: AutoencoderKL;
  readonly textEncoder: CLIPTextModel;
  readonly imageEncoder: CLIPVisionModelWithProjection;
  readonly tokenizer: Tokenizer;
  /** scheduler_config.json and preprocessor_config.json as they stand. */
  readonly scheduler: Record<string, unknown>;
  readonly preprocessor: Record<string, unknown>;
}

/** Everything a try-on needs, loaded. */
export interface TryOnComponents extends TryOnEncoders {
  readonly garmentUnet: UNet2DConditionModel;
  readonly tryOnUnet: UNet2DConditionModel;
}

export interface LoadOptions {
  readonly model: TryOnModel;
  readonly dtype: "f32" | "f16";
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
  return loading(device, folder, options, 5, async (load) => ({
    ...(await encoders(folder, load)),
    garmentUnet: await unet(folder, `${unets}/unet_garm`, 4, load),
    tryOnUnet: await unet(folder, `${unets}/unet_vton`, 8, load),
  }));
}

/** The same without the UNets. */
export const loadEncoders = (
  device: Device,
  folder: Folder,
  options: Omit<LoadOptions, "model">,
): Promise<TryOnEncoders> => loading(device, folder, options, 3, (load) => encoders(folder, load));

/** Fills one module from the files that begin with `base`. */
type Load = <M extends Module>(module: M, base: string, ignore?: (key: string) => boolean) => Promise<M>;

/** Runs `work` with a loader that counts, and frees what was loaded when it fails. */
async function loading<T>(
  device: Device,
  folder: Folder,
  { dtype, signal, onProgress }: Omit<LoadOptions, "model">,
  total: number,
  work: (load: Load) => Promise<T>,
): Promise<T> {
  const loader = new NetworkLoader(device, dtype, total, { signal, onProgress });
  const load: Load = (module, base, ignore) =>
    loader.load(module, base.split("/").at(-2) ?? base, () => openCheckpoint(folder, base), ignore);
  try {
    return await work(load);
  } catch (error) {
    loader.dispose();
    throw error;
  }
}

async function encoders(folder: Folder, load: Load): Promise<TryOnEncoders> {
  const clip = visionConfig(await json(folder, `${CLIP}/config.json`));
  const [vae, text] = [await json(folder, "ootd/vae/config.json"), await json(folder, "ootd/text_encoder/config.json")];
  return {
    scheduler: await json(folder, "ootd/scheduler/scheduler_config.json"),
    preprocessor: await json(folder, `${CLIP}/preprocessor_config.json`),
    tokenizer: await loadTokenizer(folder, "ootd/tokenizer/"),
    vae: await load(new AutoencoderKL(vae), "ootd/vae/diffusion_pytorch_model"),
    textEncoder: await load(new CLIPTextModel(text), "ootd/text_encoder/model", foreignToTower("text")),
    imageEncoder: await load(new CLIPVisionModelWithProjection(clip), `${CLIP}/model`, foreignToTower("vision")),
  };
}

async function unet(folder: Folder, path: string, channels: number, load: Load): Promise<UNet2DConditionModel> {
  const network = new UNet2DConditionModel(await json(folder, `${path}/config.json`));
  const found = network.config.in_channels;
  if (found !== channels)
    throw new InputError(folder.name, `${path}/config.json has in_channels ${found}, ${channels} are needed`);
  return load(network, `${path}/diffusion_pytorch_model`);
}
