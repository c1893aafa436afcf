import { loadModule } from "../checkpoint/load.ts";
import type { Folder, TensorSource } from "../checkpoint/source.ts";
import { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { createTokenizer, type Tokenizer } from "../models/clip/tokenizer.ts";
import type { Module } from "../nn/module.ts";
import { InputError } from "../util/errors.ts";
import { parseObject } from "../util/json.ts";
import { checkChoice, shown } from "./check.ts";

export type StorageType = "f32" | "f16";

/** The device that a pipeline was given. @throws InputError when it was given none */
export function checkDevice(op: string, device: unknown): Device {
  if (device instanceof Device) return device;
  throw new InputError(op, "device is missing: `await requestDevice()` gives one");
}

/** The type that weights and activations are stored in. @throws InputError when the device lacks it */
export function storageType(op: string, facts: DeviceFacts, asked: StorageType | "auto" = "auto"): StorageType {
  checkChoice("dtype", asked, ["auto", "f32", "f16"], op);
  // software adapters gain nothing by half precision, and compile its kernels three times as long
  if (asked === "auto") return facts.f16 && !facts.isSoftware ? "f16" : "f32";
  if (asked === "f16" && !facts.f16)
    throw new InputError(op, `f16 needs the feature "shader-f16", which ${facts.name} lacks`);
  return asked;
}

/** A folder by its path, where the device's host has paths. */
export function folderOf(op: string, device: Device, files: Folder | string): Folder {
  const folder = typeof files === "string" ? device.host?.openFolder(files) : files;
  if (typeof folder?.has === "function") return folder;
  if (folder) throw new InputError(op, `${shown(folder)} is neither a path nor a folder`);
  throw new InputError(op, `a path (${String(files)}) needs a device from toile/node; elsewhere give a folder`);
}

export interface LoaderOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Loads a pipeline's networks one after the other, and frees them all when one fails. */
export class NetworkLoader {
  readonly #device: Device;
  readonly #dtype: StorageType;
  readonly #total: number;
  readonly #options: LoaderOptions;
  readonly #loaded: Module[] = [];

  constructor(device: Device, dtype: StorageType, total: number, options: LoaderOptions) {
    this.#device = device;
    this.#dtype = dtype;
    this.#total = total;
    this.#options = options;
  }

  /** @param label what errors call the network */
  async load<M extends Module>(
    module: M,
    label: string,
    open: () => Promise<TensorSource>,
    ignore?: (key: string) => boolean,
  ): Promise<M> {
    this.#options.signal?.throwIfAborted();
    const source = await open();
    this.#loaded.push(module);
    try {
      await loadModule(this.#device, module, source, { label, dtype: this.#dtype, ...(ignore && { ignore }) });
    } finally {
      await source.close();
    }
    this.#options.onProgress?.(this.#loaded.length, this.#total);
    return module;
  }

  dispose(): void {
    for (const module of this.#loaded) module.dispose();
  }
}

/** A JSON file of the folder. @throws InputError that names the file when it is missing or is not JSON. */
export async function json(folder: Folder, path: string): Promise<Record<string, unknown>> {
  if (!(await folder.has(path))) throw new InputError(folder.name, `${path} is missing`);
  return parseObject(await folder.text(path), (what) => new InputError(folder.name, `${path} ${what}`));
}

/** A CLIP tokenizer from its folder: `tokenizer.json`, or vocabulary and merges. */
export async function loadTokenizer(folder: Folder, base = ""): Promise<Tokenizer> {
  const optional = async (name: string) =>
    (await folder.has(`${base}${name}`)) ? json(folder, `${base}${name}`) : undefined;
  const tokenizerJson = await optional("tokenizer.json");
  const config = await optional("tokenizer_config.json");
  const specialTokens = await optional("special_tokens_map.json");
  if (tokenizerJson) return createTokenizer({ tokenizerJson, config, specialTokens });
  const vocab = (await json(folder, `${base}vocab.json`)) as Record<string, number>;
  if (!(await folder.has(`${base}merges.txt`))) throw new InputError(folder.name, `${base}merges.txt is missing`);
  return createTokenizer({ vocab, merges: await folder.text(`${base}merges.txt`), config, specialTokens });
}
