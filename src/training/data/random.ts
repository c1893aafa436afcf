/** Spreads a word's bits (the finaliser of SplitMix32, after Steele, Lea and Flood 2014). */
function scatter(word: number): number {
  let z = word | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

const GOLDEN = 0x9e3779b9; // 2^32 over the golden ratio

/**
 * Random numbers of one sample: the words (seed, epoch, index, …) begin a stream of its own, so that a sample does not
 * depend on which were drawn before it. xoshiro128** (Blackman and Vigna 2021).
 */
export class Stream {
  readonly #state = new Uint32Array(4);

  /** @param words - integers; their low 32 bits count */
  constructor(...words: readonly number[]) {
    let hash = GOLDEN;
    for (const word of words) hash = scatter((hash ^ word) + GOLDEN);
    for (let i = 0; i < 4; i++) this.#state[i] = scatter(hash + Math.imul(GOLDEN, i + 1));
  }

  #next(): number {
    const s = this.#state;
    const five = Math.imul(s[1]!, 5);
    const word = Math.imul((five << 7) | (five >>> 25), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return word;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.#next() / 2 ** 32;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** An integer from 0 to count - 1. */
  below(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  pick<const T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** One of the keys, in proportion to its weight. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries(weights) as [K, number][];
    let left = this.uniform() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) if ((left -= weight) < 0) return key;
    return entries.at(-1)![0];
  }
}
