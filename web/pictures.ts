import {
  agnosticMask,
  drawnDataset,
  readImage,
  toRgba,
  type AgnosticOptions,
  type GrayImage,
  type RgbImage,
  type TryOnSample,
} from "toile";
import type { Category, Example, Model, Shown } from "./protocol.ts";

/** The people and garments that the page offers are drawn on the spot: always the same ones. */
const DRAWN_SEED = 20261123;
const DRAWN = { width: 384, height: 512 };
/** What a screen can show of a picture; the picture itself keeps its size. */
const SHOWN_SIDE = 1024;

interface Kept {
  readonly image: RgbImage;
  /** Of drawn people. */
  readonly sample?: TryOnSample;
}

/** The worker's pictures by number. */
export class PictureStore {
  readonly #kept = new Map<number, Kept>();
  #next = 1;

  /** @throws InputError in one line that names the file */
  async read(file: File): Promise<Shown> {
    return this.add(file.name, { image: await readImage(file) });
  }

  /** A drawn person in a garment of the category, and another drawn garment that suits the person's mask. */
  async draw({ model, category, index }: { model: Model; category: Category; index: number }): Promise<Example> {
    const framing = model === "hd" ? "half" : "whole"; // as the models are trained
    const pairing = "unpaired";
    const options = { ...DRAWN, seed: DRAWN_SEED, categories: [category], framing, pairing, mask: { model } } as const;
    const sample = await drawnDataset(options).get(index);
    return {
      person: await this.add(`drawn-person-${index + 1}`, { image: sample.person, sample }),
      garment: await this.add(`drawn-garment-${index + 1}`, { image: sample.garment }),
    };
  }

  /** The mask of a drawn person, exact for the category they were drawn for. */
  drawnMask(id: number, options: Pick<AgnosticOptions, "model" | "category">): GrayImage {
    const { sample } = this.#find(id);
    if (!sample?.labels) throw new Error("this picture was not drawn here");
    if (sample.category === options.category) return sample.mask;
    return agnosticMask(sample.labels, sample.pose, options);
  }

  async add(name: string, kept: Kept): Promise<Shown> {
    const id = this.#next++;
    this.#kept.set(id, kept);
    const { width, height } = kept.image;
    return { id, name, width, height, bitmap: await bitmapOf(kept.image) };
  }

  get(id: number): RgbImage {
    return this.#find(id).image;
  }

  forget(ids: readonly number[]): void {
    for (const id of ids) this.#kept.delete(id);
  }

  #find(id: number): Kept {
    const kept = this.#kept.get(id);
    if (!kept) throw new Error(`picture ${id} was forgotten`);
    return kept;
  }
}

/** A picture to show, no larger than a screen needs. */
export async function bitmapOf(image: RgbImage): Promise<ImageBitmap> {
  const { width, height } = image;
  const data = new ImageData(toRgba(image), width, height);
  const shrink = Math.min(1, SHOWN_SIDE / Math.max(width, height));
  if (shrink === 1) return createImageBitmap(data);
  const [resizeWidth, resizeHeight] = [width, height].map((side) => Math.max(1, Math.round(side * shrink)));
  return createImageBitmap(data, { resizeWidth: resizeWidth!, resizeHeight: resizeHeight!, resizeQuality: "high" });
}
