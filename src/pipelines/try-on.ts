import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { loadComponents, MODELS, type TryOnModel } from "./components.ts";
import type { Phase, TryOnInputs, TryOnResult } from "./inputs.ts";
import { checkDevice, folderOf, storageType } from "./load.ts";
import { Runner } from "./runner.ts";
import { checkChoice } from "./check.ts";

export interface TryOnLoadOptions {
  readonly device: Device;
  /** hd: half-body model, tops only. dc: full-body model, all categories. Default hd. */
  readonly model?: TryOnModel;
  /** Storage type; `auto` is f16 on GPUs that have it, else f32. */
  readonly dtype?: "auto" | "f32" | "f16";
  readonly signal?: AbortSignal;
  readonly onProgress?: (phase: Phase, done: number, total: number) => void;
}

/** A loaded try-on: call it with pictures, dispose of it when done. */
export interface TryOnPipeline {
  (inputs: TryOnInputs): Promise<TryOnResult>;
  readonly device: Device;
  readonly model: TryOnModel;
  readonly dtype: "f32" | "f16";
  /**
   * Frees the models; at once, or when the run that is going on has stopped, which rejects as those that wait do. The
   * promise is there for those who want to know when all is free.
   */
  dispose(): Promise<void>;
}

export const TryOnPipeline = {
  /**
   * Loads OOTDiffusion (Xu et al. 2024, arXiv 2403.01779) from a folder in the published layout: `ootd/…` and
   * `clip-vit-large-patch14/…`. In Node a path will do (`shipped("weights")` of `toile/node` is that of the small
   * checkpoint that ships); elsewhere give a `Folder`.
   * @throws InputError, WeightsError, FormatError naming file and tensor
   */
  async fromPretrained(files: Folder | string, options: TryOnLoadOptions): Promise<TryOnPipeline> {
    const device = checkDevice("try-on", options?.device);
    const { model = "hd", signal, onProgress } = options;
    checkChoice("model", model, MODELS);
    const dtype = storageType("try-on", device.facts, options.dtype);
    const folder = folderOf("try-on", device, files);
    const progress = (done: number, total: number) => onProgress?.("load", done, total);
    const components = await loadComponents(device, folder, { model, dtype, signal, onProgress: progress });
    const runner = new Runner(device, folder, components, model, dtype);
    return Object.assign((inputs: TryOnInputs) => runner.run(inputs), {
      device,
      model,
      dtype,
      dispose: () => runner.dispose(),
    });
  },
};
