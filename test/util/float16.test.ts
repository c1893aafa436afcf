import { describe, expect, test } from "vitest";
import { decodeBF16, decodeF16, encodeF16 } from "../../src/util/float16.ts";

/** The textbook definition, in float64. */
function value(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i);

describe("float16", () => {
  test("decodes every half, signs of zero included", () => {
    const floats = decodeF16(ALL);
    const wrong = [...ALL].filter((half) => !Object.is(floats[half], value(half)));
    expect(wrong).toEqual([]);
  });

  test("encodes every half back to itself", () => {
    const back = encodeF16(decodeF16(ALL));
    const nan = (half: number) => (half & 0x7fff) > 0x7c00;
    expect([...ALL].filter((half) => (nan(half) ? !nan(back[half]!) : back[half] !== half))).toEqual([]);
  });

  test("rounds to the nearest, ties to even, between all neighbours", () => {
    const wrong: number[] = [];
    for (let half = 0; half < 0x7c00; half++) {
      const low = value(half);
      const high = half === 0x7bff ? 65536 : value(half + 1); // past the largest half, infinity stands at 65,536
      const middle = (low + high) / 2;
      const step = (high - low) / 64; // exact in float32
      const even = half & 1 ? half + 1 : half;
      const encoded = encodeF16(Float32Array.of(middle - step, middle, middle + step, -middle));
      if (encoded.join() !== [half, even, half + 1, even | 0x8000].join()) wrong.push(half);
    }
    expect(wrong).toEqual([]);
  });

  test("overflows to infinity, underflows to zero, keeps NaN", () => {
    const halves = encodeF16(
      Float32Array.of(65519, 65520, 1e30, -Infinity, 2 ** -25, 2 ** -25 * 1.001, 1e-40, -1e-40, NaN),
    );
    expect([...halves.slice(0, 8)]).toEqual([0x7bff, 0x7c00, 0x7c00, 0xfc00, 0, 1, 0, 0x8000]);
    expect(halves[8]! & 0x7fff).toBeGreaterThan(0x7c00);
  });

  test("reads a part of a buffer that does not start at its beginning", () => {
    expect([...encodeF16(new Float32Array([9, 1, 2]).subarray(1))]).toEqual([0x3c00, 0x4000]);
  });

  test("decodes bfloat16", () => {
    const floats = decodeBF16(Uint16Array.of(0x3f80, 0xc000, 0x7f80, 0x0001, 0x8000));
    expect([...floats]).toEqual([1, -2, Infinity, 2 ** -133, -0]);
  });
});
