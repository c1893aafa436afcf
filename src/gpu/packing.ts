/** Memory that is needed from one command of a list to another, both included. */
export interface Lifetime {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/** Where items lie in arenas. What was not placed has arena -1. */
export interface Packed {
  readonly arenaOf: Int32Array;
  readonly offsets: Float64Array;
  /** Bytes of each arena. */
  readonly arenas: readonly number[];
  /** Bytes of all arenas. */
  readonly bytes: number;
}

/** An order of items, the number of arenas and the turn of ties. */
export interface Way {
  readonly order: readonly number[];
  readonly count: number;
  readonly turn: number;
}

/** Places items one after the other: thousands of times in a search, so that what it knows of them lies in flat arrays. */
export class Packer {
  readonly #bytes: Float64Array;
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  readonly #apart: readonly (readonly number[])[];
  readonly #mostBytes: number;

  /**
   * @param apart - pairs that never share an arena
   * @param mostBytes - of an arena
   */
  constructor(items: readonly Lifetime[], apart: readonly (readonly [number, number])[], mostBytes: number) {
    this.#bytes = Float64Array.from(items, ({ bytes }) => bytes);
    this.#first = Int32Array.from(items, ({ first }) => first);
    this.#last = Int32Array.from(items, ({ last }) => last);
    this.#mostBytes = mostBytes;
    const found: number[][] = items.map(() => []);
    for (const [a, b] of apart) {
      found[a]!.push(b);
      found[b]!.push(a);
    }
    this.#apart = found;
  }

  /**
   * Each item in the tightest gap among what is alive with it, in the arena that grows least.
   * @returns undefined as soon as more than `limit` bytes are needed
   */
  place({ order, count, turn }: Way, limit = Infinity): Packed | undefined {
    const arenaOf = new Int32Array(this.#bytes.length).fill(-1);
    const offsets = new Float64Array(this.#bytes.length);
    const placed: number[][] = Array.from({ length: count }, () => []); // of each arena, by offset
    const arenas = new Array<number>(count).fill(0);
    let bytes = 0;
    for (const i of order) {
      let [arena, offset, least] = [-1, 0, Infinity];
      for (let tried = 0; arena < 0 || tried < placed.length; tried++) {
        // where several arenas would grow alike, another one is taken each turn
        const a = tried < count ? (tried + turn * (1 + (i % 3))) % count : tried;
        if (a === placed.length) {
          placed.push([]); // one more than asked for where nothing else will do
          arenas.push(0);
        }
        if (this.#apart[i]!.some((other) => arenaOf[other] === a)) continue;
        const at = this.#gap(i, placed[a]!, offsets);
        const growth = Math.max(0, at + this.#bytes[i]! - arenas[a]!);
        if (growth < least && at + this.#bytes[i]! <= this.#mostBytes) [arena, offset, least] = [a, at, growth];
      }
      bytes += least;
      if (bytes > limit) return undefined;
      arenas[arena]! += least;
      arenaOf[i] = arena;
      offsets[i] = offset;
      insert(placed[arena]!, i, offsets);
    }
    return { arenaOf, offsets, arenas, bytes };
  }

  /** Whether an item ends where its arena does. */
  isOnTop(i: number, { arenaOf, offsets, arenas }: Packed): boolean {
    return offsets[i]! + this.#bytes[i]! === arenas[arenaOf[i]!];
  }

  /** The smallest gap that fits among what is placed and alive at the same time, or the end of it. */
  #gap(i: number, placed: readonly number[], offsets: Float64Array): number {
    const [bytes, first, last] = [this.#bytes[i]!, this.#first[i]!, this.#last[i]!];
    let [end, best, tightest] = [0, -1, Infinity];
    for (let k = 0; k < placed.length; k++) {
      const other = placed[k]!;
      if (this.#first[other]! > last || this.#last[other]! < first) continue;
      const offset = offsets[other]!;
      const room = offset - end;
      if (room >= bytes && room < tightest) [best, tightest] = [end, room];
      end = Math.max(end, offset + this.#bytes[other]!);
    }
    return best >= 0 ? best : end;
  }
}

function insert(placed: number[], i: number, offsets: Float64Array): void {
  let at = placed.length;
  while (at > 0 && offsets[placed[at - 1]!]! > offsets[i]!) at--;
  placed.splice(at, 0, i);
}
