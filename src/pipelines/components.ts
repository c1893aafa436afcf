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
import { StoredFusions, type FusionModules } from "./fusion.ts";
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
  /** Weights of fusion strategies that have their own. */
  readonly fusions: FusionModules;
}

export interface LoadOptions {
  readonly model: TryOnModel;
  readonly dtype: "f32" | "f16";
  /** Asked once the networks are known: whether they are to be loaded only when they are needed. Default no. */
  readonly offloads?: (networks: TryOnNetworks) => boolean;
  /** Other UNets than the folder's: a checkpoint of a training, with `unet_garm` and `unet_vton` in it. */
  readonly unets?: Folder | undefined;
  /** Of `unets`: takes the moving averages, `unet_garm_ema` and `unet_vton_ema`. */
  readonly ema?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

const CLIP = "clip-vit-large-patch14";

/** What a folder of checkpoints holds, for messages. */
export const LAYOUT = `ootd/{vae,text_encoder,tokenizer,scheduler}, ootd/ootd_{hd,dc}/checkpoint-36000 and ${CLIP}`;

/** Where a network's config.json and weights lie. */
interface Place {
  readonly folder: Folder;
  readonly path: string;
}

/** A wrong folder is told from one that lacks a file. */
async function checkLayout(folder: Folder, parts: readonly string[], what: string): Promise<void> {
  for (const part of parts) if (await folder.has(`${part}/config.json`)) return;
  throw new InputError(folder.name, `no ${what}`);
}

/** The places of both UNets: the published ones, or those in a training's checkpoint. */
async function unetPlaces(folder: Folder, { model, unets, ema }: LoadOptions): Promise<[Place, Place]> {
  const published = `ootd/ootd_${model}/checkpoint-36000`;
  await checkLayout(
    folder,
    ["ootd/vae", "ootd/text_encoder", ...(unets ? [] : [`${published}/unet_garm`]), CLIP],
    `checkpoint: it should hold ${LAYOUT}`,
  );
  const names = ["unet_garm", "unet_vton"].map((name) => (unets && ema ? `${name}_ema` : name));
  if (unets) await checkLayout(unets, names, `trained UNets: it should hold ${names.join(" and ")}`);
  const place = (name: string): Place =>
    unets ? { folder: unets, path: name } : { folder, path: `${published}/${name}` };
  return [place(names[0]!), place(names[1]!)];
}

/** Loads a try-on's models from a folder in the published layout. On failure what was loaded is freed. */
export async function loadComponents(device: Device, folder: Folder, options: LoadOptions): Promise<TryOnComponents> {
  const [garment, tryOn] = await unetPlaces(folder, options);
  const { networks: encoders, others } = await readEncoders(folder);
  const { latent_channels: channels } = encoders.vae.config;
  const garmentUnet = await readUnet(garment, channels);
  const tryOnUnet = await readUnet(tryOn, 2 * channels);
  const networks = { ...encoders, garmentUnet, tryOnUnet };
  checkUnets(networks, garment, tryOn);
  const places = { ...encoderPlaces(folder), garmentUnet: garment, tryOnUnet: tryOn };
  const later = options.offloads?.(networks) ?? false;
  const residency = await load(device, options, networks, places, later);
  const path = tryOn.path.replace(/unet_vton(?=(_ema)?$)/, "fusion");
  const network = { residency, unet: tryOnUnet, dtype: options.dtype };
  const fusions = new StoredFusions(device, network, { folder: tryOn.folder, path });
  return { ...others, ...networks, residency, fusions };
}

/** The same without the UNets. */
export async function loadEncoders(
  device: Device,
  folder: Folder,
  options: Pick<LoadOptions, "dtype" | "signal" | "onProgress">,
): Promise<TryOnEncoders> {
  const { networks, others } = await readEncoders(folder);
  return { ...others, ...networks, residency: await load(device, options, networks, encoderPlaces(folder), false) };
}

const encoderPlaces = (folder: Folder) => ({
  vae: { folder, path: "ootd/vae" },
  textEncoder: { folder, path: "ootd/text_encoder" },
  imageEncoder: { folder, path: CLIP },
});

/** Names of files in a network's folder, and keys in them that are another network's. */
const WEIGHTS: Readonly<Record<string, { readonly name: string; readonly ignore?: (key: string) => boolean }>> = {
  textEncoder: { name: "model", ignore: foreignToTower("text") },
  imageEncoder: { name: "model", ignore: foreignToTower("vision") },
};

/** Fills networks from their folders, or sees to it that they are filled when they are needed. */
async function load<N extends object>(
  device: Device,
  { dtype, signal, onProgress }: Pick<LoadOptions, "dtype" | "signal" | "onProgress">,
  networks: N & Readonly<Record<keyof N, Module>>,
  places: Readonly<Record<keyof N, Place>>,
  later: boolean,
): Promise<Residency> {
  const residency = new Residency(device, later);
  const names = Object.keys(places) as (keyof N & string)[];
  try {
    for (const [done, network] of names.entries()) {
      signal?.throwIfAborted();
      const { name = "diffusion_pytorch_model", ignore } = WEIGHTS[network] ?? {};
      const [module, { folder, path }] = [networks[network], places[network]];
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

async function readUnet({ folder, path }: Place, channels: number): Promise<UNet2DConditionModel> {
  const network = new UNet2DConditionModel(await json(folder, `${path}/config.json`));
  const found = network.config.in_channels;
  if (found !== channels)
    throw new InputError(folder.name, `${path}/config.json has in_channels ${found}, ${channels} are needed`);
  return network;
}

/** UNets of other widths than the encoders beside them, or than each other, are told before a run. */
function checkUnets(networks: TryOnNetworks, garment: Place, tryOn: Place): void {
  const { garmentUnet, tryOnUnet, textEncoder, vae } = networks;
  const width = textEncoder.config.hidden_size;
  const complain = ({ folder, path }: Place, what: string) => {
    throw new InputError(folder.name, `${path}/config.json has ${what}`);
  };
  for (const [{ config }, place] of [
    [garmentUnet, garment],
    [tryOnUnet, tryOn],
  ] as const) {
    const { cross_attention_dim: found, out_channels: channels } = config;
    if (found !== width) complain(place, `cross_attention_dim ${found}, the text encoder's width is ${width}`);
    if (channels !== vae.config.latent_channels)
      complain(place, `out_channels ${channels}, the VAE's latents have ${vae.config.latent_channels}`);
  }
  const tokens = (unet: UNet2DConditionModel) => unet.transformerBlocks().map(({ norm1 }) => norm1.weight.shape[0]);
  const [own, other] = [tokens(tryOnUnet), tokens(garmentUnet)].map((widths) => widths.join(", "));
  if (own !== other)
    complain(tryOn, `transformer blocks of widths ${own}; those of ${garment.path} have ${other}: they must be equal`);
}
