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
const SMALL = 0.01; // of the bound: an item that finds a gap anyway

/**
 * Places items in as few bytes as it can: one after the other, each in the tightest gap among what is alive with it, in
 * the arena that grows least. Two items that one command reads and writes never share an arena. The search goes over
 * the large items: it begins with the largest, then promotes again and again those that lie at the top of an arena, for
 * several numbers of arenas; the small ones fill what is left of the best plan.
 */
export function planMemory(items: readonly Lifetime[], options: PlanOptions): MemoryPlan {
  const { alignment, mostBytes } = options;
  const rounded = items.map((item) => ({ ...item, bytes: Math.ceil(item.bytes / alignment) * alignment }));
  const bound = livenessBound(rounded);
  const apart = neighbours(items.length, options.apart);
  const order = items.map((_, i) => i);
  order.sort((a, b) => rounded[b]!.bytes - rounded[a]!.bytes || rounded[a]!.first - rounded[b]!.first);
  const isLarge = (i: number) => rounded[i]!.bytes >= bound * SMALL;
  const large = search(rounded, order.filter(isLarge), apart, mostBytes, bound);
  const whole = [...large.order, ...order.filter((i) => !isLarge(i))];
  return { ...place(rounded, whole, apart, large.count, mostBytes, large.turn), bound };
}

/** The order of items, the number of arenas and the turn of ties that need the fewest bytes. */
function search(
  items: readonly Lifetime[],
  first: readonly number[],
  apart: readonly ReadonlySet<number>[],
  mostBytes: number,
  bound: number,
) {
  let best = { order: first, count: 1, turn: 0, bytes: Infinity };
  for (let count = 1; count <= MOST_ARENAS; count++) {
    let order = first;
    for (let turn = 0; turn < ROUNDS && best.bytes > bound * GOOD; turn++) {
      const plan = place(items, order, apart, count, mostBytes, turn);
      if (plan.bytes < best.bytes) best = { order, count, turn, bytes: plan.bytes };
      const onTop = (i: number) => plan.places[i]!.offset + items[i]!.bytes === plan.arenas[plan.places[i]!.arena];
      order = [...order.filter(onTop), ...order.filter((i) => !onTop(i))];
    }
  }
  return best;
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
