import { describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/ops.ts";
import { attention } from "../reference/products.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, worst, variantSettings } from "./harness.ts";

const CASES = [
  { label: "two tokens", n: 1, queries: 2, keys: 2, heads: 4, headDim: 8 },
  { label: "one query, one key", n: 2, queries: 1, keys: 1, heads: 1, headDim: 4 },
  { label: "keys that end inside a block", n: 2, queries: 19, keys: 71, heads: 3, headDim: 8 },
  { label: "d = 12, which no subgroup divides", n: 1, queries: 7, keys: 37, heads: 2, headDim: 12 },
  { label: "d = 40", n: 1, queries: 33, keys: 65, heads: 2, headDim: 40 },
  { label: "d = 64, causal", n: 1, queries: 77, keys: 77, heads: 2, headDim: 64, causal: true },
  { label: "d = 80", n: 1, queries: 17, keys: 129, heads: 1, headDim: 80 },
  { label: "d = 160", n: 1, queries: 9, keys: 45, heads: 2, headDim: 160 },
  { label: "d = 512, one head", n: 2, queries: 21, keys: 21, heads: 1, headDim: 512 },
  { label: "d = 512, two heads", n: 1, queries: 5, keys: 11, heads: 2, headDim: 512 },
] as const;

describe.each(await variantSettings("attention", ["subgroup", "tiled", "plain", "matrix"]))(
  "attention, $name",
  (setting) => {
    const { gpu, elem } = setting;
    const tensor = maker(setting);

    // weights sum to one, so a result is an average of values: its error is theirs, times a few roundings of the scores
    const limit = elem === "f32" ? 3e-6 : HALF_LIMIT;

    // every width of head is a pipeline, of which those with barriers take software adapters long to compile; the matrix
    // and the tiled kernel keep a head's sums in registers, so they take no wider ones
    const quick = /subgroup|plain/.test(setting.name);
    const widths = gpu.facts.subgroupSize === 4 ? [8] : [8, 12, 64, 160];
    test.for(CASES.filter(({ headDim }) => quick || widths.includes(headDim)))("$label", async (shape) => {
      const { n, queries, keys, heads, headDim } = shape;
      const width = heads * headDim;
      const [q, k, v] = [
        numbers(elem, 1, n * queries * width),
        numbers(elem, 2, n * keys * width),
        numbers(elem, 3, n * keys * width),
      ];
      const exact = attention(q, k, v, shape);
      const y = await run(gpu, () =>
        ops.scaledDotProductAttention(
          tensor(q, [n, queries, width]),
          tensor(k, [n, keys, width]),
          tensor(v, [n, keys, width]),
          {
            heads,
            isCausal: "causal" in shape,
          },
        ),
      );
      expect(worst(y, exact)).toBeLessThan(limit * magnitude(exact));
    });

    test("a second run of keys, shared by neighbours, and keys that all batches share", async () => {
      const [n, queries, keys, more, heads, headDim] = [4, 5, 6, 9, 2, 8];
      const width = heads * headDim;
      const q = numbers(elem, 1, n * queries * width);
      const [k, v] = [numbers(elem, 2, keys * width), numbers(elem, 3, keys * width)];
      const [k2, v2] = [numbers(elem, 4, 2 * more * width), numbers(elem, 5, 2 * more * width)];
      // batches 0 and 1 read the first half of the second run, 2 and 3 the other
      const joined = (first: Float32Array, second: Float32Array) =>
        Float32Array.from(
          [0, 0, 1, 1].flatMap((half) => [
            ...first,
            ...second.subarray(half * more * width, (half + 1) * more * width),
          ]),
        );
      const exact = attention(q, joined(k, k2), joined(v, v2), { n, queries, keys: keys + more, heads, headDim });
      const y = await run(gpu, () =>
        ops.scaledDotProductAttention(
          tensor(q, [n, queries, width]),
          tensor(k, [1, keys, width]),
          tensor(v, [1, keys, width]),
          {
            heads,
            more: { k: tensor(k2, [2, more, width]), v: tensor(v2, [2, more, width]) },
          },
        ),
      );
      expect(worst(y, exact)).toBeLessThan(limit * magnitude(exact));
    });

    test("scores of ±200 neither overflow nor lose the largest", async () => {
      const shape = { n: 1, queries: 9, keys: 70, heads: 1, headDim: 8, scale: 1 };
      const q = Float32Array.from({ length: 72 }, (_, i) => (i % 8 === 0 ? 20 : 0));
      const k = numbers(elem, 2, 560, { scale: 0.01 }).map((value, i) =>
        i % 8 === 0 ? (Math.floor(i / 8) % 2 ? 10 : -10) : value,
      );
      const v = numbers(elem, 3, 560);
      const exact = attention(q, k, v, shape);
      const y = await run(gpu, () =>
        ops.scaledDotProductAttention(tensor(q, [1, 9, 8]), tensor(k, [1, 70, 8]), tensor(v, [1, 70, 8]), {
          heads: 1,
          scale: 1,
        }),
      );
      expect(worst(y, exact)).toBeLessThan(1e-3 * magnitude(exact)); // a score of 200 is known to 2^-17 in float32
    });

    // by the scale, since no f16 is large enough; causal rows see a part of a block, or nothing of it
    test.for(quick || widths.includes(64) ? [false, true] : [false])(
      "scores below every bound weigh what they should, causal: %s",
      async (isCausal) => {
        const [tokens, heads, headDim] = isCausal ? [77, 2, 64] : [70, 1, 8];
        const shape = { n: 1, queries: tokens, keys: tokens, heads, headDim, causal: isCausal, scale: 1e28 };
        const size = tokens * heads * headDim;
        const [q, k] = [new Float32Array(size).fill(100), new Float32Array(size).fill(-100)];
        const v = numbers(elem, 3, size);
        const exact = attention(q, k, v, shape); // every key weighs the same
        const y = await run(gpu, () => {
          const [a, b, c] = [q, k, v].map((values) => tensor(values, [1, tokens, heads * headDim]));
          return ops.scaledDotProductAttention(a!, b!, c!, { heads, isCausal, scale: shape.scale });
        });
        expect(worst(y, exact)).toBeLessThan(limit * magnitude(exact));
      },
    );

    test("says what does not fit", () => {
      const [q, k] = [tensor(numbers(elem, 1, 60), [1, 5, 12]), tensor(numbers(elem, 1, 40), [1, 5, 8])];
      expect(() => ops.scaledDotProductAttention(q, k, k, { heads: 1 })).toThrow(
        "keys or values do not fit the queries: [1, 5, 8] and [1, 5, 12]",
      );
      expect(() => ops.scaledDotProductAttention(q, q, q, { heads: 5 })).toThrow("12 channels in 5 heads");
      q.dispose();
      k.dispose();
    });
  },
);
