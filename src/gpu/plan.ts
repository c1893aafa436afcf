/** Memory that is needed from one command of a list to another, both included. */
export interface Lifetime {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

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
const RANDOM_ROUNDS = 1000;
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
  const apart = neighbours(items.length, options.apart);
  const order = items.map((_, i) => i);
  order.sort((a, b) => rounded[b]!.bytes - rounded[a]!.bytes || rounded[a]!.first - rounded[b]!.first);
  const isLarge = (i: number) => rounded[i]!.bytes >= bound * SMALL;
  const [large, small] = [order.filter(isLarge), order.filter((i) => !isLarge(i))];
  const placed = (way: Way, more: readonly number[] = []) =>
    place(rounded, [...way.order, ...more], apart, way.count, mostBytes, way.turn);
  const fair = search(rounded, large, placed, bound);
  const isEnough = (way: Way) => bound < WORTH || placed(way, small).bytes <= bound * FAIR;
  return { ...placed(shuffled(rounded, large, fair, placed, isEnough), small), bound };
}

/** An order of items, the number of arenas and the turn of ties. */
interface Way {
  readonly order: readonly number[];
  readonly count: number;
  readonly turn: number;
}

function search(
  items: readonly Lifetime[],
  first: readonly number[],
  placed: (way: Way) => Omit<MemoryPlan, "bound">,
  bound: number,
): Way {
  let [best, bytes]: [Way, number] = [{ order: first, count: 1, turn: 0 }, Infinity];
  for (let count = 1; count <= MOST_ARENAS; count++) {
    let order = first;
    for (let turn = 0; turn < ROUNDS && bytes > bound * GOOD; turn++) {
      const plan = placed({ order, count, turn });
      if (plan.bytes < bytes) [best, bytes] = [{ order, count, turn }, plan.bytes];
      const onTop = (i: number) => plan.places[i]!.offset + items[i]!.bytes === plan.arenas[plan.places[i]!.arena];
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
  placed: (way: Way) => Omit<MemoryPlan, "bound">,
  isEnough: (way: Way) => boolean,
): Way {
  const random = generator();
  let [best, bytes] = [from, placed(from).bytes];
  let done = isEnough(best);
  for (let round = 0; round < RANDOM_ROUNDS && !done; round++) {
    const next = round % 2 === 0 ? anew(items, first, random) : varied(best, random);
    const found = placed(next).bytes;
    if (found > bytes) continue;
    done = found < bytes && isEnough(next);
    [best, bytes] = [next, found];
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

/** A few items earlier or later. */
function varied({ order: before, count, turn }: Way, random: () => number): Way {
  const order = [...before];
  for (let moves = 1 + Math.floor(random() * 4); moves > 0; moves--) {
    const [item] = order.splice(Math.floor(random() * order.length), 1);
    order.splice(Math.floor(random() ** 2 * order.length), 0, item!);
  }
  return { order, count, turn: random() < 0.3 ? Math.floor(random() * ROUNDS) : turn };
}

function neighbours(count: number, pairs: PlanOptions["apart"]): ReadonlySet<number>[] {
  const found = Array.from({ length: count }, () => new Set<number>());
  for (const [a, b] of pairs) {
    found[a]!.add(b);
    found[b]!.add(a);
  }
  return found;
}

interface Placed {
  readonly item: number;
  readonly offset: number;
}

function place(
  items: readonly Lifetime[],
  order: readonly number[],
  apart: readonly ReadonlySet<number>[],
  count: number,
  mostBytes: number,
  turn: number,
): Omit<MemoryPlan, "bound"> {
  const arenas: { bytes: number; placed: Placed[] }[] = Array.from({ length: count }, () => ({ bytes: 0, placed: [] }));
  const places: Place[] = [];
  for (const i of order) {
    const item = items[i]!;
    let best: { arena: number; offset: number; growth: number } | undefined;
    for (let tried = 0; ; tried++) {
      // where several arenas would grow alike, another one is taken each turn
      const a = tried < count ? (tried + turn * (1 + (i % 3))) % count : tried;
      const arena = (arenas[a] ??= { bytes: 0, placed: [] }); // one more than asked for where nothing else will do
      if (!arena.placed.some((other) => apart[i]!.has(other.item))) {
        const offset = gap(item, items, arena.placed);
        const growth = Math.max(0, offset + item.bytes - arena.bytes);
        if (offset + item.bytes <= mostBytes && (!best || growth < best.growth)) best = { arena: a, offset, growth };
      }
      if (best && tried + 1 >= arenas.length) break;
    }
    const { arena, offset } = best!;
    const chosen = arenas[arena]!;
    chosen.bytes = Math.max(chosen.bytes, offset + item.bytes);
    chosen.placed.push({ item: i, offset });
    places[i] = { arena, offset };
  }
  const bytes = arenas.map((arena) => arena.bytes);
  return { places, arenas: bytes, bytes: bytes.reduce((a, b) => a + b, 0) };
}

/** The smallest gap that fits among what is placed and alive at the same time, or the end of it. */
function gap(item: Lifetime, items: readonly Lifetime[], placed: readonly Placed[]): number {
  const alive = placed
    .filter(({ item: other }) => items[other]!.first <= item.last && items[other]!.last >= item.first)
    .sort((a, b) => a.offset - b.offset);
  let [end, best, tightest] = [0, -1, Infinity];
  for (const { item: other, offset } of alive) {
    const room = offset - end;
    if (room >= item.bytes && room < tightest) [best, tightest] = [end, room];
    end = Math.max(end, offset + items[other]!.bytes);
  }
  return best >= 0 ? best : end;
}
