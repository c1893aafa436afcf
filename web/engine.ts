import { DeviceLostError, requestDevice, SCHEDULER_NAMES, TryOnPipeline, type Device } from "toile";
import { bitmapOf, type PictureStore } from "./pictures.ts";
import type { MemoryReport, Model, Started, TryOnEvent, TryOnReply, TryOnRequest } from "./protocol.ts";
import { fetchCheckpoint, fetchManifest, modelsOf, type Manifest } from "./weights.ts";

type Report = (event: TryOnEvent) => void;

interface Loaded {
  readonly model: Model;
  readonly pipeline: TryOnPipeline;
}

/** The device and the model on it. */
export class Engine {
  readonly #pictures: PictureStore;
  #device: Device | undefined;
  #weights = "";
  #manifest: Manifest | undefined;
  #loaded: Loaded | undefined;

  constructor(pictures: PictureStore) {
    this.#pictures = pictures;
  }

  /** @throws DeviceError where there is no WebGPU */
  async start(weights: string): Promise<Started> {
    this.#weights = weights;
    const { facts } = await this.#open();
    this.#manifest = await fetchManifest(weights);
    const { name: checkpoint, trained } = this.#manifest;
    const [models, schedulers] = [modelsOf(this.#manifest), Object.keys(SCHEDULER_NAMES)];
    return { adapter: facts.name, software: facts.isSoftware, checkpoint, trained, models, schedulers };
  }

  async tryOn(request: TryOnRequest, signal: AbortSignal, report: Report): Promise<TryOnReply> {
    try {
      return await this.#tryOn(request, signal, report);
    } catch (error) {
      if (error instanceof DeviceLostError) this.#drop(); // the next run begins with a new device
      throw error;
    }
  }

  async #tryOn(request: TryOnRequest, signal: AbortSignal, report: Report): Promise<TryOnReply> {
    const { person, garment, model, ...settings } = request;
    const pipeline = await this.#load(model, signal, report);
    const result = await pipeline({
      ...settings,
      person: this.#pictures.get(person),
      garment: this.#pictures.get(garment),
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

  /** The model's pipeline; the one before is freed, for a page has one GPU. */
  async #load(model: Model, signal: AbortSignal, report: Report): Promise<TryOnPipeline> {
    if (this.#loaded?.model === model) return this.#loaded.pipeline;
    await this.#loaded?.pipeline.dispose();
    this.#loaded = undefined;
    const device = await this.#open();
    const progress = (done: number, total: number) => report({ kind: "phase", phase: "load", done, total });
    const folder = await fetchCheckpoint(this.#weights, this.#manifest!, model, { signal, onProgress: progress });
    const pipeline = await TryOnPipeline.fromPretrained(folder, { device, model, signal });
    this.#loaded = { model, pipeline };
    return pipeline;
  }

  #memory(): MemoryReport {
    const { bytes = 0, peak = 0 } = this.#device?.memory ?? {};
    return { now: bytes, peak };
  }
}
