import { DeviceLostError, requestDevice, SCHEDULER_NAMES, TryOnPipeline, type Device } from "toile";
import { bitmapOf, type PictureStore } from "./pictures.ts";
import type {
  Checkpoint,
  ChosenFolder,
  MemoryReport,
  Model,
  Started,
  TryOnEvent,
  TryOnReply,
  TryOnRequest,
} from "./protocol.ts";
import { chosenSource, shippedSource, type Source } from "./weights.ts";

type Report = (event: TryOnEvent) => void;

interface Loaded {
  readonly model: Model;
  readonly pipeline: TryOnPipeline;
}

/** The device and the model on it. */
export class Engine {
  readonly #pictures: PictureStore;
  #device: Device | undefined;
  #shipped: Source | undefined;
  #source: Source | undefined;
  #loaded: Loaded | undefined;
  /** The run that goes on: a folder outlives the run that opened it, and is read again where networks are offloaded. */
  #running: { readonly signal: AbortSignal; readonly report: Report } | undefined;

  constructor(pictures: PictureStore) {
    this.#pictures = pictures;
  }

  /** @throws DeviceError where there is no WebGPU */
  async start(weights: string): Promise<Started> {
    const { facts } = await this.#open();
    this.#shipped = await shippedSource(weights);
    const schedulers = Object.keys(SCHEDULER_NAMES);
    return { adapter: facts.name, software: facts.isSoftware, schedulers, ...(await this.use("shipped")) };
  }

  /** @throws Error in one line where a folder holds no try-on; the checkpoint before stays in use then */
  async use(folder: ChosenFolder | "shipped"): Promise<Checkpoint> {
    this.#source = folder === "shipped" ? this.#shipped! : chosenSource(folder);
    await this.#unload();
    const { checkpoint, trained, models, sampling } = this.#source;
    return { checkpoint, trained, models, sampling };
  }

  async tryOn(request: TryOnRequest, signal: AbortSignal, report: Report): Promise<TryOnReply> {
    this.#running = { signal, report };
    try {
      return await this.#tryOn(request, signal, report);
    } catch (error) {
      if (error instanceof DeviceLostError) this.#drop(); // the next run begins with a new device
      throw error;
    }
  }

  async #tryOn(request: TryOnRequest, signal: AbortSignal, report: Report): Promise<TryOnReply> {
    const { model, ...settings } = request;
    const [person, garment] = [this.#pictures.get(request.person), this.#pictures.get(request.garment)]; // before others are chosen
    const pipeline = await this.#load(model, signal);
    const result = await pipeline({
      ...settings,
      person,
      garment,
      signal,
      onProgress: (phase, done, total) => {
        report({ kind: "phase", phase, done, total });
        report({ kind: "memory", memory: this.#memory() });
      },
      onPreview: (image) =>
        void bitmapOf(image).then(
          (bitmap) => report({ kind: "preview", bitmap }),
          () => undefined, // a preview that cannot be shown is none
        ),
    });
    const { seed, dtype, warnings, timings } = result;
    const named = (result.pasted ?? result.images).map((image, i) => this.#pictures.add(`result-${i + 1}`, { image }));
    return { images: await Promise.all(named), seed, dtype, warnings, timings, memory: this.#memory() };
  }

  async #open(): Promise<Device> {
    this.#device ??= await requestDevice();
    return this.#device;
  }

  #drop(): void {
    this.#loaded = undefined;
    this.#device?.destroy();
    this.#device = undefined;
  }

  async #unload(): Promise<void> {
    const before = this.#loaded;
    this.#loaded = undefined;
    await before?.pipeline.dispose();
  }

  /** The model's pipeline; the one before is freed, for a page has one GPU. */
  async #load(model: Model, signal: AbortSignal): Promise<TryOnPipeline> {
    if (this.#loaded?.model === model) return this.#loaded.pipeline;
    await this.#unload();
    const device = await this.#open();
    const onProgress = (done: number, total: number) =>
      this.#running?.report({ kind: "phase", phase: "load", done, total });
    const folder = await this.#source!.open(model, { signal: () => this.#running?.signal, onProgress });
    const pipeline = await TryOnPipeline.fromPretrained(folder, { device, model, signal });
    this.#loaded = { model, pipeline };
    return pipeline;
  }

  #memory(): MemoryReport {
    const { bytes = 0, peak = 0 } = this.#device?.memory ?? {};
    return { now: bytes, peak };
  }
}
