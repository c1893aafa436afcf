import { Packer, type Lifetime, type Way } from "./packing.ts";
import { shuffled, promoted, type Search } from "./packing_search.ts";

export interface Place {
  readonly arena: number;
  readonly offset: number;
}

export interface MemoryPlan {
  /** Where each item lies. */
  readonly places: readonly Place[];
  /** Bytes of each arena. */
  readonly arenas: readonly number[];
  /** Bytes of all arenas. */
  readonly bytes: number;
  /** The most bytes that are alive at once: no plan needs less. */
  readonly bound: number;
}

export interface PlanOptions {
  /** Pairs that one command reads and writes: WebGPU refuses a buffer that is both, whatever the ranges. */
  readonly apart: readonly (readonly [number, number])[];
  /** Of every place. */
  readonly alignment: number;
  /** Of an arena. */
  readonly mostBytes: number;
}

/** The most bytes that are alive at once. */
export function livenessBound(items: readonly Lifetime[]): number {
  const changes = items.flatMap(({ bytes, first, last }) => [
    { at: first, bytes },
    { at: last + 1, bytes: -bytes },
  ]);
  let [alive, most] = [0, 0];
  for (const change of changes.sort((a, b) => a.at - b.at || a.bytes - b.bytes)) {
    alive += change.bytes;
    most = Math.max(most, alive);
  }
  return most;
}

const FAIR = 1.1; // of the bound: not worth a random round
const WORTH = 2 ** 22; // bytes below which nothing is
const SMALL = 0.01; // of the bound: an item that finds a gap anyway

/**
 * Places items in as few bytes as it can: one after the other, each in the tightest gap among what is alive with it, in
 * the arena that grows least. Two items that one command reads and writes never share an arena. The search goes over
 * the large items; where a list does the same twice, as for the halves of a guidance one by one, over those of the first
 * time, with the same places for the second. The small ones fill what is left of the best plan.
 *
 * Nothing is placed over what its own command reads, though WebGPU would allow it for one binding that is read and
 * written: at the moments that need the most memory the commands are convolutions and products, which read what they
 * would overwrite, so that the peak of Stable Diffusion 1.5's networks at 768 x 1024 would stay as it is.
 */
export function planMemory(items: readonly Lifetime[], options: PlanOptions): MemoryPlan {
  const { alignment, mostBytes } = options;
  const rounded = items.map((item) => ({ ...item, bytes: Math.ceil(item.bytes / alignment) * alignment }));
  const bound = livenessBound(rounded);
  const order = items.map((_, i) => i);
  order.sort((a, b) => rounded[b]!.bytes - rounded[a]!.bytes || rounded[a]!.first - rounded[b]!.first);
  const isLarge = (i: number) => rounded[i]!.bytes >= bound * SMALL;
  const small = order.filter((i) => !isLarge(i));
  const copies = repeats(rounded, order.filter(isLarge));
  const packer = new Packer(rounded, options.apart, mostBytes);
  const all = (way: Way) => way.order.flatMap((i) => copies.get(i)!);
  const problem: Search = {
    items: rounded,
    large: [...copies.keys()],
    bound,
    place: (way, limit) => packer.place({ ...way, order: all(way) }, limit),
    isOnTop: (i, packed) => packer.isOnTop(i, packed),
  };
  const whole = (way: Way) => packer.place({ ...way, order: [...all(way), ...small] })!;
  const isEnough = (way: Way) => bound < WORTH || whole(way).bytes <= bound * FAIR;
  const { arenaOf, offsets, arenas, bytes } = whole(shuffled(problem, promoted(problem), isEnough));
  return { places: items.map((_, i) => ({ arena: arenaOf[i]!, offset: offsets[i]! })), arenas, bytes, bound };
}

/**
 * Items that are alike, in the same place of stretches of time that nothing among them outlives: the first of each →
 * all of them.
 */
function repeats(items: readonly Lifetime[], among: readonly number[]): ReadonlyMap<number, readonly number[]> {
  const inTime = [...among].sort((a, b) => items[a]!.first - items[b]!.first || a - b);
  const start = new Map<number, number>(); // of an item's stretch
  let [begin, end] = [0, -1];
  for (const i of inTime) {
    const { first, last } = items[i]!;
    if (first > end) begin = first;
    end = Math.max(end, last);
    start.set(i, begin);
  }
  const alike = new Map<string, number[]>();
  const times = new Map<string, number>();
  for (const i of among) {
    const { bytes, first, last } = items[i]!;
    const begin = start.get(i)!;
    const what = `${bytes} ${first - begin} ${last - begin}`;
    const time = times.get(`${begin} ${what}`) ?? 0; // several of them in one stretch are told apart
    times.set(`${begin} ${what}`, time + 1);
    const key = `${what} ${time}`;
    alike.set(key, [...(alike.get(key) ?? []), i]);
  }
  return new Map([...alike.values()].map((copies) => [copies[0]!, copies]));
}
