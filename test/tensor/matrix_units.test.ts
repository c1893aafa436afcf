import { describe, expect, test } from "vitest";
import { requestDevice } from "../../src/node/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { attention, linear } from "../reference/products.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, withMatrices, worst } from "./harness.ts";

// Units of other shapes (NVIDIA's are 16x16x16 and 16x8x16 for f16), the tiles that large GPUs take first, and heads of
// Stable Diffusion: once each, on emulated units, since software adapters take seconds to compile one.

const own = await requestDevice();

type Unit = readonly [number, number, number];

async function setting(elem: "f32" | "f16", variants: Record<string, string>, unit: Unit) {
  const options = { variants, guard: 256 };
  const gpu = withMatrices(await requestDevice(options), options, unit);
  return { name: "", gpu, elem };
}

describe.runIf(own.facts.f16)("matrix units", () => {
  test.for<[string, Unit]>([
    ["matrix-128x128", [8, 8, 16]],
    ["matrix-32x32", [16, 16, 16]],
  ])("%s, units of %o: a product", async ([name, unit]) => {
    const own = await setting("f16", { gemm: name }, unit);
    const [m, n, k] = [131, 76, 300];
    const [x, w] = [numbers("f16", 1, m * k), numbers("f16", 2, n * k)];
    const tensor = maker(own);
    const y = await run(own.gpu, () => ops.linear(tensor(x, [m, k]), tensor(w, [n, k])));
    const exact = linear(x, w, [m, n, k]);
    expect(worst(y, exact)).toBeLessThan(HALF_LIMIT * magnitude(exact));
  });

  test.for<["f32" | "f16", string, number, Unit]>([
    ["f32", "matrix-2x16", 40, [8, 8, 16]],
    ["f32", "matrix-2x32", 80, [8, 8, 16]],
    ["f16", "matrix-2x32", 40, [16, 16, 16]],
    ["f16", "matrix-2x32", 80, [8, 16, 16]],
  ])("%s, %s: attention of heads of %i, units of %o", async ([elem, name, headDim, unit]) => {
    const own = await setting(elem, { attention: name }, unit);
    const [n, queries, keys, heads] = [1, 37, 70, 2];
    const width = heads * headDim;
    const [q, k, v] = [queries, keys, keys].map((tokens, i) => numbers(elem, i, n * tokens * width));
    const tensor = maker(own);
    const y = await run(own.gpu, () =>
      ops.scaledDotProductAttention(
        tensor(q!, [n, queries, width]),
        tensor(k!, [n, keys, width]),
        tensor(v!, [n, keys, width]),
        { heads },
      ),
    );
    const exact = attention(q!, k!, v!, { n, queries, keys, heads, headDim });
    expect(worst(y, exact)).toBeLessThan((elem === "f32" ? 3e-6 : HALF_LIMIT) * magnitude(exact));
  });
});
