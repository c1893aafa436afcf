import type { Device } from "../gpu/device.ts";
import type { Module } from "../nn/module.ts";
import { loadModule, type LoadOptions } from "./load.ts";
import { openCheckpoint } from "./open.ts";
import type { Folder } from "./source.ts";

/** Fills a module from the files of a folder that begin with `base`. @throws as `openCheckpoint` and `loadModule` */
export async function fillModule(
  device: Device,
  module: Module,
  folder: Folder,
  base: string,
  options: LoadOptions,
): Promise<void> {
  const source = await openCheckpoint(folder, base);
  try {
    await loadModule(device, module, source, options);
  } finally {
    await source.close();
  }
}
