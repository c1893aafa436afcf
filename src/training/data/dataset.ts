import type { Category } from "../../vision/agnostic.ts";
import type { GrayImage, RgbImage } from "../../vision/image.ts";
import type { Pose } from "../../vision/pose.ts";
import { Stream } from "./random.ts";

/** One person, one garment, and where it goes. All pictures have the same size. */
export interface TryOnSample {
  /** The person to dress. */
  readonly person: RgbImage;
  /** The garment, flat on a plain ground. */
  readonly garment: RgbImage;
  /** 255 where the garment may be painted on the person, else 0. */
  readonly mask: GrayImage;
  /** The person in the garment: themselves when they wear it. undefined when nobody knows. */
  readonly truth: RgbImage | undefined;
  /** Of the garment. */
  readonly category: Category;
  /** What the mask was made from, where it was made. Key points are in pixels of 384x512. */
  readonly labels: GrayImage | undefined;
  /** The person's key points. */
  readonly pose: Pose | undefined;
  /** For messages: the files' names, or numbers of a drawn set. */
  readonly names: { readonly person: string; readonly garment: string };
}

/** Samples by number. */
export interface TryOnDataset {
  /** Infinity for a drawn set without end. */
  readonly length: number;
  /**
   * @param epoch - for what differs from one pass to the next; the same numbers give the same sample. Default: 0
   * @throws InputError for a number outside the set, and naming the file that cannot be read
   */
  get(index: number, epoch?: number): Promise<TryOnSample>;
  /** Ends what reads in the background. */
  close?(): Promise<void>;
}

/** Samples of several sets in turn, as many of each as the shortest has, and `most` together. */
export function interleaved(sets: readonly TryOnDataset[], most = Infinity): TryOnDataset {
  return {
    length: Math.min(most, sets.length * Math.min(...sets.map(({ length }) => length))),
    get: (index, epoch) => sets[index % sets.length]!.get(Math.floor(index / sets.length), epoch),
    close: async () => void (await Promise.all(sets.map((set) => set.close?.()))),
  };
}

/** The numbers 0 to length - 1 in the order of an epoch (Fisher and Yates): the same for the same seed and epoch. */
export function epochOrder(length: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, i) => i);
  const stream = new Stream(seed, epoch, ORDER);
  for (let i = length - 1; i > 0; i--) {
    const j = stream.below(i + 1);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}

/** Keeps an order's numbers apart from those that augment a sample. */
const ORDER = 0x6f726465;

export interface Wanted {
  readonly index: number;
  readonly epoch?: number;
}

/**
 * Samples in the order wanted, with some always under way, so that who uses one need not wait for the next.
 * @param ahead - how many; memory holds as many samples
 */
export async function* prefetch(
  dataset: TryOnDataset,
  wanted: Iterable<Wanted>,
  { ahead = 4 }: { ahead?: number } = {},
): AsyncGenerator<TryOnSample, void, void> {
  const waiting: Promise<TryOnSample>[] = [];
  for (const { index, epoch } of wanted) {
    const sample = dataset.get(index, epoch);
    sample.catch(() => undefined); // it is thrown when its turn comes
    waiting.push(sample);
    if (waiting.length > ahead) yield await waiting.shift()!;
  }
  for (const sample of waiting) yield await sample;
}
