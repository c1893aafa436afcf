import { fillModule } from "../checkpoint/fill.ts";
import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import type { FusionStrategy } from "../models/fusion/strategy.ts";
import type { UNet2DConditionModel } from "../models/unet/unet.ts";
import { initialize } from "../nn/init.ts";
import type { Module } from "../nn/module.ts";
import { json } from "./load.ts";
import { InputError } from "../util/errors.ts";
import type { Residency } from "./residency.ts";

/** Where a training left a strategy's own weights: beside the UNets that they were trained with. */
export interface FusionPlace {
  readonly folder: Folder;
  readonly path: string;
}

/** What a strategy's weights are saved under: its name without the number that some take. */
export const savedName = ({ name }: FusionStrategy): string => name.split(":")[0]!;

/** config.json beside a strategy's weights. */
export const fusionConfig = (strategy: FusionStrategy): Readonly<Record<string, unknown>> => ({
  _class_name: "FusionStrategy",
  name: savedName(strategy),
});

/** Gives a strategy's module its numbers before any training. The UNet's weights must be there. */
export function beginModule(
  device: Device,
  strategy: FusionStrategy,
  module: Module,
  unet: UNet2DConditionModel,
  dtype: "f32" | "f16",
): void {
  if (strategy.initialize) strategy.initialize(module, unet);
  else initialize(device, module, 0, dtype);
}

/** A strategy's own weights, on the device, and what is to be said about them. */
export interface FusionModule {
  readonly module: Module | undefined;
  readonly note: string | undefined;
}

/** Where a try-on finds the weights of strategies. */
export interface FusionModules {
  /** @throws as `fillModule` */
  of(strategy: FusionStrategy): Promise<FusionModule>;
}

/** Weights of strategies from where a training left them, or first ones; each is made when it is first asked for. */
export class StoredFusions implements FusionModules {
  readonly #known = new Map<FusionStrategy, { readonly module: Module | undefined; note: string | undefined }>();
  readonly #network: {
    readonly residency: Residency;
    readonly unet: UNet2DConditionModel;
    readonly dtype: "f32" | "f16";
  };
  readonly #device: Device;
  readonly #place: FusionPlace;

  constructor(
    device: Device,
    network: { readonly residency: Residency; readonly unet: UNet2DConditionModel; readonly dtype: "f32" | "f16" },
    place: FusionPlace,
  ) {
    this.#device = device;
    this.#network = network;
    this.#place = place;
  }

  async of(strategy: FusionStrategy): Promise<FusionModule> {
    const { residency, unet } = this.#network;
    const known = this.#known.get(strategy) ?? { module: strategy.module?.(unet), note: undefined };
    const { module } = known;
    if (!module) return known;
    if (typeof module.parameters !== "function" || typeof module.dispose !== "function")
      throw new InputError("fusion", `module() of "${strategy.name}" gives no Module: make a class that extends it`);
    if (!this.#known.has(strategy))
      await residency.add(module, async () => void (known.note = await this.#fill(strategy, module)));
    this.#known.set(strategy, known);
    await residency.only(unet, module);
    return known;
  }

  /** @returns what to tell the user where nothing trained was found */
  async #fill(strategy: FusionStrategy, module: Module): Promise<string | undefined> {
    const { folder, path } = this.#place;
    const { unet, dtype } = this.#network;
    const config = (await folder.has(`${path}/config.json`)) ? await json(folder, `${path}/config.json`) : undefined;
    if (config?.["name"] === savedName(strategy)) {
      const options = { label: path, dtype };
      await fillModule(this.#device, module, folder, `${path}/diffusion_pytorch_model`, options);
      return undefined;
    }
    beginModule(this.#device, strategy, module, unet, dtype);
    const found = config ? `${path} holds the weights of "${String(config["name"])}"` : `there is no ${path}`;
    return `the fusion "${strategy.name}" runs with weights that were not trained: ${found} in ${folder.name}`;
  }
}
