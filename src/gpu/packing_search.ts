import type { Lifetime, Packed, Way } from "./packing.ts";

const MOST_ARENAS = 5; // how many are tried
const ROUNDS = 12; // of improvement, for each number of arenas
const GOOD = 1.04; // of the bound: not worth another round
const RANDOM_ROUNDS = 2000;

/** A way is searched in which `items` take few bytes. */
export interface Search {
  readonly items: readonly Lifetime[];
  /** What an order is of. */
  readonly large: readonly number[];
  /** No way needs fewer bytes. */
  readonly bound: number;
  /** @returns undefined beyond `limit` bytes */
  readonly place: (way: Way, limit?: number) => Packed | undefined;
  /** Whether an item ends where its arena does. */
  readonly isOnTop: (i: number, packed: Packed) => boolean;
}

/** The largest first, then again and again those that lie at the top of an arena, for several numbers of arenas. */
export function promoted({ large, bound, place, isOnTop }: Search): Way {
  let [best, bytes]: [Way, number] = [{ order: large, count: 1, turn: 0 }, Infinity];
  for (let count = 1; count <= MOST_ARENAS; count++) {
    let order = large;
    for (let turn = 0; turn < ROUNDS && bytes > bound * GOOD; turn++) {
      const packed = place({ order, count, turn })!;
      if (packed.bytes < bytes) [best, bytes] = [{ order, count, turn }, packed.bytes];
      const onTop = (i: number) => isOnTop(i, packed);
      order = [...order.filter(onTop), ...order.filter((i) => !onTop(i))];
    }
  }
  return best;
}

/** Looks for a better way at random, from the best so far and from new beginnings in turn, until one is enough. */
export function shuffled(search: Search, from: Way, isEnough: (way: Way) => boolean): Way {
  const random = generator();
  let [best, packed] = [from, search.place(from)!];
  let done = isEnough(best);
  for (let round = 0; round < RANDOM_ROUNDS && !done; round++) {
    const next = round % 2 === 0 ? anew(search, random) : varied(search, best, packed, random);
    const found = search.place(next, packed.bytes);
    if (!found) continue;
    done = found.bytes < packed.bytes && isEnough(next);
    [best, packed] = [next, found];
  }
  return best;
}

/** Numbers from 0 to 1 that are the same in every run (Numerical Recipes' linear congruences). */
function generator(): () => number {
  let state = 1;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** The largest first, give or take; half the time those that live longer before others of their size. */
function anew({ items, large }: Search, random: () => number): Way {
  const power = random() < 0.5 ? 0 : random();
  const size = new Map(
    large.map((i) => {
      const { bytes, first, last } = items[i]!;
      return [i, bytes * (last - first + 1) ** power * (0.6 + 0.8 * random())];
    }),
  );
  const order = [...large].sort((a, b) => size.get(b)! - size.get(a)!);
  return { order, count: 1 + Math.floor(random() * MOST_ARENAS), turn: Math.floor(random() * ROUNDS) };
}

/** A few items earlier or later: half of the time one of those that make an arena as large as it is. */
function varied({ isOnTop }: Search, { order: before, count, turn }: Way, packed: Packed, random: () => number): Way {
  const order = [...before];
  const top = before.filter((i) => isOnTop(i, packed));
  const any = (among: readonly number[]) => among[Math.floor(random() * among.length)]!;
  for (let moves = 1 + Math.floor(random() * 4); moves > 0; moves--) {
    const item = any(top.length > 0 && random() < 0.5 ? top : order);
    order.splice(order.indexOf(item), 1);
    order.splice(Math.floor(random() ** 2 * order.length), 0, item);
  }
  return { order, count, turn: random() < 0.3 ? Math.floor(random() * ROUNDS) : turn };
}
