import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { Budget } from "./budget.ts";
import { loadComponents, MODELS, type TryOnModel } from "./components.ts";
import type { Phase, TryOnInputs, TryOnResult } from "./inputs.ts";
import { checkDevice, folderOf, storageType } from "./load.ts";
import type { TryOnNetworks } from "./memory.ts";
import { Runner } from "./runner.ts";
import { checkChoice, checkInputs } from "./check.ts";

/** How a try-on is loaded. Only `device` is needed. */
export interface TryOnLoadOptions {
  /** Where the networks go: `requestDevice()`. */
  readonly device: Device;
  /** hd: half-body model, tops only. dc: full-body model, all categories. Default hd. */
  readonly model?: TryOnModel;
  /** Storage type; `auto` is f16 on GPUs that have it, else f32. */
  readonly dtype?: "auto" | "f32" | "f16";
  /**
   * Whether networks are loaded when a run needs them and freed when it is done with them, at the price of loading them
   * at every run. Default auto: where a run of `largest` does not fit into `memory` otherwise.
   */
  readonly offload?: "auto" | "never" | "always";
  /** The largest run to come, in pixels and pictures. Default 768 x 1024, one picture. */
  readonly largest?: { readonly width: number; readonly height: number; readonly samples?: number };
  /** Bytes of memory that the GPU has for this. WebGPU does not tell; default 8e9. */
  readonly memory?: number;
  /** UNets to use instead of the folder's: a `checkpoint-N` of `toile train`, with `unet_garm` and `unet_vton` in it. */
  readonly unets?: Folder | string;
  /** Of `unets`: takes the moving averages that a training with `--use_ema` kept. Default no. */
  readonly ema?: boolean;
  /** Ends the loading: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called as tensors are loaded: `done` of `total` of the phase `load`. */
  readonly onProgress?: (phase: Phase, done: number, total: number) => void;
}

/** A loaded try-on: call it with pictures, dispose of it when done. */
export interface TryOnPipeline {
  (inputs: TryOnInputs): Promise<TryOnResult>;
  /** Where the networks are. */
  readonly device: Device;
  /** Half-body or full-body model. */
  readonly model: TryOnModel;
  /** Storage type of the networks. */
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
    const { model = "hd", ema, signal, onProgress } = options;
    checkChoice("model", model, MODELS);
    checkChoice("offload", options.offload, ["auto", "never", "always"]);
    const dtype = storageType("try-on", device.facts, options.dtype);
    const folder = folderOf("try-on", device, files);
    const progress = (done: number, total: number) => onProgress?.("load", done, total);
    const { memory, offload = "auto" } = options;
    const budget = new Budget(device.facts, memory);
    const { largest = { width: 768, height: 1024 } } = options;
    const question = { samples: 1, ...largest, guided: true, guidanceBatch: 1, dtype } as const;
    const offloads = (networks: TryOnNetworks) =>
      offload === "always" || (offload === "auto" && budget.offloads(networks, question));
    const unets = options.unets === undefined ? undefined : folderOf("try-on", device, options.unets);
    const loading = { model, dtype, offloads, unets, ema, signal, onProgress: progress };
    const components = await loadComponents(device, folder, loading);
    const runner = new Runner(device, folder, components, model, dtype, budget);
    const run = async (inputs: TryOnInputs) => {
      checkInputs("try-on", inputs, "{ person, garment, mask }");
      return runner.run(inputs);
    };
    return Object.assign(run, {
      device,
      model,
      dtype,
      dispose: () => runner.dispose(),
    });
  },
};
