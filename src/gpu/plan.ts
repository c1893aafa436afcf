import { Packer, type Lifetime, type Packed, type Way } from "./packing.ts";

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

const MOST_ARENAS = 5; // how many are tried
const ROUNDS = 12; // of improvement, for each number of arenas
const GOOD = 1.04; // of the bound: not worth another round
const FAIR = 1.1; // not worth a random one
const WORTH = 2 ** 22; // bytes below which nothing is
const RANDOM_ROUNDS = 2000;
const SMALL = 0.01; // of the bound: an item that finds a gap anyway

/**
 * Places items in as few bytes as it can: one after the other, each in the tightest gap among what is alive with it, in
 * the arena that grows least. Two items that one command reads and writes never share an arena. The search goes over
 * the large items: it begins with the largest, then promotes again and again those that lie at the top of an arena, for
 * several numbers of arenas, and where that is not enough it shuffles, always in the same way; the small ones fill what
 * is left of the best plan.
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
  const [large, small] = [order.filter(isLarge), order.filter((i) => !isLarge(i))];
  const packer = new Packer(rounded, options.apart, mostBytes);
  const whole = ({ order, count, turn }: Way) => packer.place({ order: [...order, ...small], count, turn })!;
  const isEnough = (way: Way) => bound < WORTH || whole(way).bytes <= bound * FAIR;
  const { arenaOf, offsets, arenas, bytes } = whole(
    shuffled(rounded, large, search(packer, large, bound), packer, isEnough),
  );
  return { places: items.map((_, i) => ({ arena: arenaOf[i]!, offset: offsets[i]! })), arenas, bytes, bound };
}

function search(packer: Packer, first: readonly number[], bound: number): Way {
  let [best, bytes]: [Way, number] = [{ order: first, count: 1, turn: 0 }, Infinity];
  for (let count = 1; count <= MOST_ARENAS; count++) {
    let order = first;
    for (let turn = 0; turn < ROUNDS && bytes > bound * GOOD; turn++) {
      const plan = packer.place({ order, count, turn })!;
      if (plan.bytes < bytes) [best, bytes] = [{ order, count, turn }, plan.bytes];
      const onTop = (i: number) => packer.isOnTop(i, plan);
      order = [...order.filter(onTop), ...order.filter((i) => !onTop(i))];
    }
  }
  return best;
}

/** Looks for a better way at random, from the best so far and from new beginnings in turn, until one is enough. */
function shuffled(
  items: readonly Lifetime[],
  first: readonly number[],
  from: Way,
  packer: Packer,
  isEnough: (way: Way) => boolean,
): Way {
  const random = generator();
  let [best, plan] = [from, packer.place(from)!];
  let done = isEnough(best);
  for (let round = 0; round < RANDOM_ROUNDS && !done; round++) {
    const next = round % 2 === 0 ? anew(items, first, random) : varied(best, plan, packer, random);
    const found = packer.place(next, plan.bytes);
    if (!found) continue;
    done = found.bytes < plan.bytes && isEnough(next);
    [best, plan] = [next, found];
  }
  return best;
}

/** Numbers from 0 to 1 that are the same in every run (Numerical Recipes' linear congruences). */
function generator(): () => number {
  let state = 1;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** The largest first, give or take; half the time those that live longer before others of their size. */
function anew(items: readonly Lifetime[], first: readonly number[], random: () => number): Way {
  const power = random() < 0.5 ? 0 : random();
  const size = new Map(
    first.map((i) => {
      const { bytes, first, last } = items[i]!;
      return [i, bytes * (last - first + 1) ** power * (0.6 + 0.8 * random())];
    }),
  );
  const order = [...first].sort((a, b) => size.get(b)! - size.get(a)!);
  return { order, count: 1 + Math.floor(random() * MOST_ARENAS), turn: Math.floor(random() * ROUNDS) };
}

/** A few items earlier or later: half of the time one of those that make an arena as large as it is. */
function varied({ order: before, count, turn }: Way, plan: Packed, packer: Packer, random: () => number): Way {
  const order = [...before];
  const top = before.filter((i) => packer.isOnTop(i, plan));
  const any = (among: readonly number[]) => among[Math.floor(random() * among.length)]!;
  for (let moves = 1 + Math.floor(random() * 4); moves > 0; moves--) {
    const item = any(random() < 0.5 ? top : order);
    order.splice(order.indexOf(item), 1);
    order.splice(Math.floor(random() ** 2 * order.length), 0, item);
  }
  return { order, count, turn: random() < 0.3 ? Math.floor(random() * ROUNDS) : turn };
}
