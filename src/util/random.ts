import { InputError } from "./errors.ts";
import { decodeF16, encodeF16 } from "./float16.ts";
import { count, show, type Shape } from "./shape.ts";

const WORDS = 624;
const MIDDLE = 397;
/** PyTorch multiplies by the float32 next to 2π. */
const TWO_PI = Math.fround(2 * Math.PI);

/** The Mersenne twister MT19937 (Matsumoto and Nishimura 1998): a stream of 32-bit words. */
class MersenneTwister {
  readonly #state = new Uint32Array(WORDS);
  #next = WORDS;

  constructor(seed: number) {
    this.#state[0] = seed;
    for (let i = 1; i < WORDS; i++) {
      const previous = this.#state[i - 1]!;
      this.#state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
  }

  next(): number {
    if (this.#next === WORDS) this.#refill();
    let word = this.#state[this.#next++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < WORDS; i++) {
      const mixed = (state[i]! & 0x80000000) | (state[(i + 1) % WORDS]! & 0x7fffffff);
      state[i] = state[(i + MIDDLE) % WORDS]! ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}

/**
 * The numbers of `torch.Generator().manual_seed(seed)` on the CPU: uniform and integer numbers bit for bit, normal
 * numbers within the rounding of the platform's log, sin and cos.
 */
export class TorchGenerator {
  #engine: MersenneTwister;
  /** The second number of a Box-Muller pair, which the scalar path keeps for its next call. */
  #spare: number | undefined;

  /** @param seed an integer from -2^63 to 2^64 - 1; like PyTorch's engine, only its low 32 bits are used */
  constructor(seed: number | bigint) {
    this.#engine = new MersenneTwister(seedWord(seed));
  }

  /** Starts the stream of another seed. */
  manualSeed(seed: number | bigint): this {
    this.#engine = new MersenneTwister(seedWord(seed));
    this.#spare = undefined;
    return this;
  }

  /** `torch.rand`: uniform float32 numbers in [0, 1) with 24 random bits each. */
  rand(shape: Shape): Float32Array {
    return this.#fill(new Float32Array(size("rand", shape)));
  }

  /**
   * `torch.randn`: standard normal numbers by Box and Muller's transform. Sixteen and more are made in blocks of
   * sixteen with float32 arithmetic, fewer one by one with float64, as PyTorch does; `f16` rounds the results.
   */
  randn(shape: Shape, dtype: "f32" | "f16" = "f32"): Float32Array {
    const values = new Float32Array(size("randn", shape));
    if (values.length < 16) {
      for (let i = 0; i < values.length; i++) values[i] = this.#normal();
    } else {
      this.#fill(values);
      for (let i = 0; i + 16 <= values.length; i += 16) boxMuller16(values.subarray(i, i + 16));
      if (values.length % 16 !== 0) {
        const tail = values.subarray(values.length - 16);
        this.#fill(tail); // drawn afresh: it overlaps the last whole block
        boxMuller16(tail);
      }
    }
    return dtype === "f16" ? decodeF16(encodeF16(values)) : values;
  }

  /** `torch.randint`: integers from `low` to `high` - 1, int32. */
  randint(low: number, high: number, shape: Shape): Int32Array {
    const range = high - low;
    if (![low, high].every((bound) => Number.isInteger(bound) && Math.abs(bound) <= 2 ** 31) || range < 1)
      throw new InputError("randint", `${low} to ${high} is not a range of 32-bit integers`);
    return Int32Array.from({ length: size("randint", shape) }, () => low + (this.#word(range) % range));
  }

  /** What one integer is made of: 32 bits, or 64 (modulo `range`) where 32 would favour small numbers. */
  #word(range: number): number {
    if (range < 2 ** 28) return this.#engine.next();
    return Number(this.#word64() % BigInt(range));
  }

  #word64(): bigint {
    const high = BigInt(this.#engine.next());
    return (high << 32n) | BigInt(this.#engine.next());
  }

  #fill(values: Float32Array): Float32Array {
    for (let i = 0; i < values.length; i++) values[i] = (this.#engine.next() & 0xffffff) / 2 ** 24;
    return values;
  }

  /** 53 low bits of two words, high word first, as a fraction. */
  #uniform53(): number {
    const high = this.#engine.next() & 0x1fffff;
    return (high * 2 ** 32 + this.#engine.next()) / 2 ** 53;
  }

  #normal(): number {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare !== undefined) return spare;
    const angle = 2 * Math.PI * this.#uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#uniform53()));
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

const f32 = Math.fround;

/** Turns sixteen uniform numbers into normal ones: elements j and j + 8 are one pair. Every step rounds to float32. */
function boxMuller16(block: Float32Array): void {
  for (let j = 0; j < 8; j++) {
    const radius = f32(Math.sqrt(f32(-2 * f32(Math.log(1 - block[j]!)))));
    const angle = f32(TWO_PI * block[j + 8]!);
    block[j] = radius * f32(Math.cos(angle));
    block[j + 8] = radius * f32(Math.sin(angle));
  }
}

function size(op: string, shape: Shape): number {
  if (!shape.every((n) => Number.isInteger(n) && n >= 0)) throw new InputError(op, `${show(shape)} is no shape`);
  return count(shape);
}

function seedWord(seed: number | bigint): number {
  if (typeof seed !== "bigint" && !Number.isSafeInteger(seed))
    throw new InputError("seed", `${seed} is not an integer that a number holds exactly; use a bigint`);
  const whole = BigInt(seed);
  if (whole < -(2n ** 63n) || whole >= 2n ** 64n)
    throw new InputError("seed", `${seed} is not within -2^63 … 2^64 - 1`);
  return Number(BigInt.asUintN(32, whole));
}
