import { InputError, WeightsError } from "../util/errors.ts";
import { renameOldAttention } from "./keys.ts";
import { SD1_SCHEDULER, textConfig, unetConfig, vaeConfig } from "./single_file_config.ts";
import {
  emaName,
  isLeftOver,
  isVaeAttention,
  renamer,
  TEXT_PREFIX,
  UNET_PREFIX,
  unetPairs,
  unetStructure,
  VAE_PREFIX,
  vaePairs,
  vaeStructure,
  type Pair,
} from "./single_file_names.ts";
import { findTensor, malformed, quote, type TensorInfo, type TensorSource } from "./source.ts";

export const PARTS = ["unet", "vae", "text_encoder"] as const;
export type PartName = (typeof PARTS)[number];

/** JSON objects of the diffusers layout by the folder they belong to: config.json, or scheduler_config.json. */
export type Configs = Readonly<Record<PartName | "scheduler", Readonly<Record<string, unknown>>>>;

/** A whole Stable Diffusion checkpoint as diffusers' layout would hold it. */
export interface SingleFile {
  /** The tensors of each network, under diffusers' names. */
  readonly parts: Readonly<Record<PartName, TensorSource>>;
  /** The config.json of each network, and the scheduler's. */
  readonly configs: Configs;
}

/** How a checkpoint in one file is read. */
export interface SingleFileOptions {
  /** Takes the UNet's moving averages; an error where the file has none. Default false. */
  readonly extractEma?: boolean | undefined;
  /** Fields that the tensors do not tell, such as `unet.attention_head_dim`. */
  readonly configs?: { readonly [K in keyof Configs]?: Readonly<Record<string, unknown>> } | undefined;
}

/** Where a converted file keeps the configurations, in safetensors metadata. */
export const CONFIG_KEY = "toile.configs";
/** Fewer averages than this are something else. */
const LEAST_EMA = 100;

/** A tensor's name in the file, and the shape that it has in diffusers' layout. */
interface Origin {
  readonly from: string;
  readonly shape: readonly number[];
}

/**
 * Reads a CompVis (LDM) checkpoint of Stable Diffusion 1 in one file as the three networks of the diffusers layout.
 * Structure comes from names, sizes from shapes; what neither tells is Stable Diffusion 1's, or stands in `configs`.
 * @throws FormatError when it is no such checkpoint; WeightsError that lists tensors that belong to none of its networks
 */
export function openSingleFile(source: TensorSource, options: SingleFileOptions = {}): SingleFile {
  const keys = [...source.tensors.keys()];
  const below = (prefix: string) => keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  const [unetKeys, vaeKeys, textKeys] = [below(UNET_PREFIX), below(VAE_PREFIX), below(TEXT_PREFIX)];
  check(source, unetKeys, vaeKeys, textKeys);
  const isEma = options.extractEma === true;
  if (isEma) checkAverages(source.name, keys);
  const origins = new Map<string, readonly [PartName, string]>();
  const take = (part: PartName, prefix: string, names: readonly string[], pairs: readonly Pair[] | undefined) => {
    const rename = pairs ? renamer(pairs, "diffusers") : (key: string) => key;
    for (const key of names) {
      const renamed = rename(key);
      if (renamed !== undefined && !isLeftOver(prefix + key)) origins.set(prefix + key, [part, renamed]);
    }
  };
  take("unet", UNET_PREFIX, unetKeys, unetPairs(unetStructure(unetKeys)));
  take("vae", VAE_PREFIX, vaeKeys, vaePairs(vaeStructure(vaeKeys)));
  take("text_encoder", TEXT_PREFIX, textKeys, undefined);
  const unknown = keys.filter((key) => !origins.has(key) && !isLeftOver(key));
  if (unknown.length)
    throw new WeightsError(
      source.name,
      `${unknown.length} tensors belong to none of the networks of Stable Diffusion 1${unknown.map((key) => `\n  ${quote(key)}`).join("")}`,
    );
  const named: Record<PartName, Map<string, Origin>> = { unet: new Map(), vae: new Map(), text_encoder: new Map() };
  for (const [key, [part, renamed]] of origins) {
    const from = isEma && part === "unet" ? emaName(key) : key;
    const { shape } = findTensor(source.name, source.tensors, from);
    const isMatrix = part === "vae" && isVaeAttention(renamed);
    named[part].set(renamed, { from, shape: isMatrix ? shape.slice(0, 2) : shape });
  }
  const parts = {
    unet: renamed(source, named.unet),
    vae: renamed(source, named.vae),
    text_encoder: renamed(source, named.text_encoder),
  };
  return { parts, configs: configsOf(source, parts, options.configs ?? {}) };
}

/** What is asked for is not replaced by something else; some files keep nothing of the averages but their decay. */
function checkAverages(name: string, keys: readonly string[]): void {
  const { length } = keys.filter((key) => key.startsWith("model_ema.") && /(weight|bias)$/.test(key));
  const has = length === 0 ? "no moving averages (model_ema.…)" : `moving averages of ${length} tensors alone`;
  if (length <= LEAST_EMA) throw new InputError(name, `has ${has}: leave out extractEma (--extract-ema)`);
}

function check(source: TensorSource, unet: readonly string[], vae: readonly string[], text: readonly string[]): void {
  if ([...source.tensors.keys()].some((key) => /^(cond_stage_model\.model\.|conditioner\.)/.test(key)))
    throw malformed(source.name, "its text encoder is that of Stable Diffusion 2 or XL, only 1.x is implemented");
  const missing = [
    ...(unet.includes("input_blocks.0.0.weight") ? [] : [`UNet (${UNET_PREFIX}…)`]),
    ...(vae.includes("encoder.conv_in.weight") ? [] : [`autoencoder (${VAE_PREFIX}…)`]),
    ...(text.some((key) => key.startsWith("text_model.")) ? [] : [`text encoder (${TEXT_PREFIX}text_model.…)`]),
  ];
  if (missing.length)
    throw malformed(source.name, `no Stable Diffusion checkpoint in one file: it lacks the ${missing.join(", the ")}`);
}

function configsOf(
  source: TensorSource,
  parts: SingleFile["parts"],
  given: NonNullable<SingleFileOptions["configs"]>,
): Configs {
  const stored = storedConfigs(source);
  const merge = (name: keyof Configs, inferred: Readonly<Record<string, unknown>>) => ({
    ...inferred,
    ...stored[name],
    ...given[name],
  });
  return {
    unet: merge("unet", unetConfig(parts.unet.tensors)),
    vae: merge("vae", vaeConfig(parts.vae.tensors)),
    text_encoder: merge("text_encoder", textConfig(parts.text_encoder.tensors)),
    scheduler: merge("scheduler", SD1_SCHEDULER),
  };
}

function storedConfigs(source: TensorSource): NonNullable<SingleFileOptions["configs"]> {
  const text = source.metadata.get(CONFIG_KEY);
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // told below, like any other value
  }
  throw malformed(source.name, `its metadata ${CONFIG_KEY} is no JSON object`);
}

/** The same tensors under other names. Closing is left to the whole file's owner. */
function renamed(source: TensorSource, origins: ReadonlyMap<string, Origin>): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, { from, shape }] of origins)
    tensors.set(name, { ...findTensor(source.name, source.tensors, from), name, shape });
  return {
    name: source.name,
    tensors,
    metadata: source.metadata,
    read: (name, offset, length) => {
      const origin = origins.get(findTensor(source.name, tensors, name).name)!;
      return source.read(origin.from, offset, length);
    },
    close: async () => {},
  };
}

/** A tensor of a converted checkpoint: where it comes from, and what it is called and shaped there. */
export interface Converted {
  readonly info: TensorInfo;
  readonly source: TensorSource;
  /** Its name in the source. */
  readonly from: string;
}

/**
 * The tensors of diffusers' three networks under CompVis' names and shapes.
 * @throws WeightsError for tensors that have no place there
 */
export function toSingleFile(parts: SingleFile["parts"], configs: Configs): Converted[] {
  const unknown: string[] = [];
  const converted: Converted[] = [];
  const add = (part: PartName, prefix: string, rename: (key: string) => string | undefined) => {
    const source = parts[part];
    for (const info of source.tensors.values()) {
      if (isLeftOver(prefix + info.name)) continue;
      const today = renameOldAttention(info.name);
      const name = rename(today);
      if (name === undefined) unknown.push(`${part} ${quote(info.name)}`);
      const isMatrix = part === "vae" && isVaeAttention(today) && info.shape.length === 2;
      const shape = isMatrix ? [...info.shape, 1, 1] : info.shape;
      converted.push({ info: { ...info, name: prefix + name, shape }, source, from: info.name });
    }
  };
  const types = (side: string) => (configs.unet[`${side}_block_types`] as string[]).map((type) => /Attn/.test(type));
  const structure = { layers: Number(configs.unet["layers_per_block"]), down: types("down"), up: types("up") };
  const levels = (configs.vae["block_out_channels"] as number[]).length;
  const vae = { levels, layers: Number(configs.vae["layers_per_block"]) };
  add("unet", UNET_PREFIX, renamer(unetPairs(structure), "compvis"));
  add("vae", VAE_PREFIX, renamer(vaePairs(vae), "compvis"));
  add("text_encoder", TEXT_PREFIX, (key) => key);
  if (unknown.length)
    throw new WeightsError(
      "convert",
      `${unknown.length} tensors have no place in a single file\n  ${unknown.join("\n  ")}`,
    );
  return converted;
}
