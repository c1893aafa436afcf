import { describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { ActivationName } from "../reference/elementwise.ts";
import { joinRuns, matmul, size } from "../reference/arrays.ts";
import { attention, conv2d, convOutput, linear, type ConvShape } from "../reference/products.ts";
import { normal } from "../helpers.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, variantSettings, worst } from "./harness.ts";

// Products, convolutions and attention at sizes drawn from lists in which nothing divides a tile, with whatever
// options the draw brings. Seeds are fixed, so a failure names a case that fails again.

const DRAWS = 24;

/** A source of choices. */
function drawing(seed: number) {
  const values = normal(seed, 64).map((value) => Math.abs(value * 1e4) % 1);
  let next = 0;
  return {
    of: <T>(list: readonly T[]): T => list[Math.floor(values[next++]! * list.length)]!,
    maybe: () => values[next++]! < 0.5,
  };
}

const EXTENTS = [1, 3, 5, 7, 13, 17, 33, 65, 127];
const CHANNELS = [3, 4, 5, 8, 9, 12, 20, 36];
const MAPS = [
  [1, 1],
  [3, 5],
  [7, 9],
  [17, 13],
  [2, 31],
] as const;
const ACTIVATIONS: readonly Exclude<ActivationName, "tanh" | "sigmoid" | "exp">[] = [
  "none",
  "relu",
  "silu",
  "gelu",
  "geluTanh",
  "quickGelu",
];

/** A convolution whose kernel fits its padded map. */
function drawConv(seed: number) {
  const { of, maybe } = drawing(seed);
  const [h, w] = of(MAPS);
  const kernel = [of([1, 3, 5, 7, 2]), of([1, 3, 5, 7, 4])] as const;
  const pads = [of([0, 1, 3]), of([0, 1, 3]), of([0, 1, 3]), of([0, 1, 3])] as const;
  const grow = (side: number, reach: number) => side + Math.max(0, reach - side);
  const shape = {
    n: of([1, 2, 3]),
    h: grow(h, kernel[0] - pads[0] - pads[1]),
    w: grow(w, kernel[1] - pads[2] - pads[3]),
    inputs: of(CHANNELS),
    outputs: of(CHANNELS),
    kernel,
    stride: of([1, 1, 2, 3]),
    pad: pads,
  } satisfies ConvShape;
  const post = { bias: maybe(), shift: of(["none", "one", "each"] as const), residual: maybe() };
  return { shape, ...post, activation: of(ACTIVATIONS), packed: maybe() };
}

describe.each(await variantSettings("gemm", ["subgroup", "tiled", "plain"]))("$name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);
  const f32 = (values: Float32Array) => Tensor.from(gpu, values, [values.length]);
  // terms have a deviation of one, so a result is about √k: float32 loses a few roundings of that
  const limit = elem === "f32" ? 2e-6 : HALF_LIMIT;

  test.for(Array.from({ length: DRAWS }, (_, i) => i))("convolution, draw %i", async (seed) => {
    const { shape, activation, packed, ...draw } = drawConv(seed);
    const { n, h, w, inputs, outputs, kernel, stride, pad } = shape;
    const [top, bottom, left, right] = pad;
    const y = [n, ...convOutput(shape), outputs];
    const x = numbers(elem, 1, n * h * w * inputs);
    const weight = numbers(elem, 2, outputs * inputs * kernel[0] * kernel[1]);
    const bias = numbers("f32", 3, outputs);
    const images = draw.shift === "one" ? 1 : n;
    const shift = numbers(elem, 4, images * outputs);
    const residual = numbers(elem, 5, size(y));
    const exact = conv2d(x, weight, shape, {
      ...(draw.bias && { bias }),
      ...(draw.shift !== "none" && {
        shift: Float64Array.from({ length: n * outputs }, (_, i) => shift[i % shift.length]!),
      }),
      ...(draw.residual && { residual }),
      activation,
    });
    const actual = await run(gpu, () => {
      const filter = tensor(weight, [outputs, inputs, ...kernel]);
      return ops.conv2d(tensor(x, [n, h, w, inputs]), packed ? ops.packWeight(filter) : filter, {
        bias: draw.bias ? f32(bias) : undefined,
        shift: draw.shift === "none" ? undefined : tensor(shift, [images, outputs]),
        residual: draw.residual ? tensor(residual, y) : undefined,
        stride,
        padding: { top, bottom, left, right },
        activation,
      });
    });
    expect(worst(actual, exact)).toBeLessThan(limit * magnitude(exact));
  });

  test.for(Array.from({ length: DRAWS }, (_, i) => i))("linear and matmul, draw %i", async (seed) => {
    const { of, maybe } = drawing(seed + 100);
    const [m, n, k] = [of(EXTENTS), of(EXTENTS), of(EXTENTS)];
    const [batches, activation, packed] = [of([1, 2, 3]), of(ACTIVATIONS), maybe()];
    const [withBias, withResidual, transposed, shared] = [maybe(), maybe(), maybe(), maybe()];
    const [x, w, bias] = [numbers(elem, 1, batches * m * k), numbers(elem, 2, n * k), numbers("f32", 3, n)];
    const residual = numbers(elem, 4, batches * m * n);
    const options = () => ({
      bias: withBias ? f32(bias) : undefined,
      residual: withResidual ? tensor(residual, [batches, m, n]) : undefined,
      activation,
    });
    const post = { ...(withBias && { bias }), ...(withResidual && { residual }), activation };
    const exact = linear(x, w, [batches * m, n, k], post);
    const layer = await run(gpu, () => {
      const weight = tensor(w, [n, k]);
      return ops.linear(tensor(x, [batches, m, k]), packed ? ops.packWeight(weight) : weight, options());
    });
    expect(worst(layer, exact)).toBeLessThan(limit * magnitude(exact));

    const b = numbers(elem, 5, (shared ? 1 : batches) * n * k);
    const sizes = [batches, m, k, n] as const;
    const plain = matmul(x, b, sizes, { transposed, shared });
    // the epilogue alone, by a product with nothing to multiply
    const finished = linear(plain, identity(n), [batches * m, n, n], post);
    const product = await run(gpu, () =>
      ops.matmul(tensor(x, [batches, m, k]), tensor(b, [shared ? 1 : batches, ...(transposed ? [n, k] : [k, n])]), {
        transposeB: transposed,
        ...options(),
      }),
    );
    expect(worst(product, finished)).toBeLessThan(limit * magnitude(finished));
  });
});

const identity = (n: number) => Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));

describe.each(await variantSettings("attention", ["subgroup", "plain"]))("attention, $name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);

  test.for(Array.from({ length: DRAWS / 2 }, (_, i) => i))("draw %i", async (seed) => {
    const { of, maybe } = drawing(seed + 200);
    const [heads, headDim, queries, keys] = [of([1, 2, 3, 5]), of([8, 40, 64]), of(EXTENTS), of(EXTENTS)];
    const [n, causal, more] = [of([1, 2, 4]), maybe(), of([0, 1, 7, 33])];
    const width = heads * headDim;
    const q = numbers(elem, 1, n * queries * width, { scale: 2 });
    const [own, other] = [of([1, n]), of([1, n])];
    const runs = ([2, 3] as const).map(
      (seed) => [numbers(elem, seed, own * keys * width), [own, keys, width]] as const,
    );
    const second = ([4, 5] as const).map(
      (seed) => [numbers(elem, seed, other * more * width), [other, more, width]] as const,
    );
    const [k, v] = runs.map((first, i) => joinRuns(n, more ? [first, second[i]!] : [first])) as [
      Float64Array,
      Float64Array,
    ];
    const exact = attention(q, k, v, { n, queries, keys: keys + more, heads, headDim, causal });
    const actual = await run(gpu, () => {
      const [k, v] = runs.map(([x, shape]) => tensor(x, shape)) as [Tensor, Tensor];
      const extra = more ? second.map(([x, shape]) => tensor(x, shape)) : [];
      return ops.scaledDotProductAttention(tensor(q, [n, queries, width]), k, v, {
        heads,
        isCausal: causal,
        more: more ? { k: extra[0]!, v: extra[1]! } : undefined,
      });
    });
    // scores of a few tens are known to 2^-19, and so are the weights
    expect(worst(actual, exact)).toBeLessThan((elem === "f32" ? 6e-6 : HALF_LIMIT) * magnitude(exact));
  });
});
