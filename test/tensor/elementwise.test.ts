import { describe, expect, test } from "vitest";
import type { Activation } from "../../src/kernels/activation.ts";
import * as ops from "../../src/tensor/ops.ts";
import { activationBackward } from "../../src/tensor/ops/unary.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { activations, geglu, interpolate, pool, type ActivationName } from "../reference/elementwise.ts";
import { HALF_LIMIT, magnitude, maker, numbers, run, settings, worst } from "./harness.ts";

const OPS: Record<Exclude<ActivationName, "none">, (x: Tensor) => Tensor> = {
  relu: ops.relu,
  silu: ops.silu,
  gelu: ops.gelu,
  geluTanh: ops.geluTanh,
  quickGelu: ops.quickGelu,
  tanh: ops.tanh,
  sigmoid: ops.sigmoid,
  exp: ops.exp,
};

describe.each(await settings())("element-wise, $name", (setting) => {
  const { gpu, elem } = setting;
  const tensor = maker(setting);
  const limit = elem === "f32" ? 1e-6 : HALF_LIMIT;

  test.for(Object.keys(OPS) as (keyof typeof OPS)[])("%s from -30 to 30 and near zero", async (name) => {
    const spread = numbers(elem, 1, 511, { scale: 6 });
    const small = numbers(elem, 2, 500, { scale: 1e-3 });
    const x = Float32Array.of(...spread, ...small).filter((v) => name !== "exp" || v < 10);
    const exact = Float64Array.from(x, activations[name]);
    const y = await run(gpu, () => OPS[name](tensor(x, [x.length])));
    expect(worst(y, exact)).toBeLessThan(limit * magnitude(exact));
    if (elem === "f16" || name === "exp" || name === "sigmoid") return;
    // small arguments keep their own digits, not only those of the largest
    const tiny = exact.slice(-500);
    expect(worst(y.slice(-500), tiny)).toBeLessThan(2e-6 * magnitude(tiny));
  });

  test("saturation: ±6e4 gives the limits, no NaN", async () => {
    const x = Float32Array.of(6e4, -6e4, 300, -300); // all of them float16 numbers
    const near = async (op: (x: Tensor) => Tensor, expected: readonly number[]) =>
      expect(worst(await run(gpu, () => op(tensor(x, [4]))), expected)).toBeLessThan(1e-30);
    await near(ops.sigmoid, [1, 0, 1, 0]);
    await near(ops.tanh, [1, -1, 1, -1]);
    for (const op of [ops.silu, ops.gelu, ops.geluTanh, ops.quickGelu]) await near(op, [x[0]!, 0, 300, 0]);
  });

  test("far below zero a gate and its slope are 0, and neither NaN nor -Inf is lost", async () => {
    const [least, much] = elem === "f32" ? [-3e38, -1e37] : [-65504, -6e4];
    const x = Float32Array.of(least, much, -200, -105, NaN, -Infinity, 0, 0);
    const [zeros, ones] = [new Float32Array(8), new Float32Array(8).fill(1)];
    const slope = (kind: Activation) => (t: Tensor) => activationBackward(tensor(ones, [8]), t, kind);
    const fused = () => {
      const [weight, bias] = [Tensor.from(gpu, zeros, [8]), Tensor.from(gpu, x, [8])];
      return ops.groupNorm(tensor(zeros, [1, 1, 8]), 1, { weight, bias, activation: "silu" });
    };
    for (const op of [ops.silu, ops.quickGelu, ops.gelu, ops.geluTanh, slope("silu"), slope("quickGelu"), fused]) {
      const y = await run(gpu, () => op(tensor(x, [8])));
      expect(worst(y.slice(0, 4), [0, 0, 0, 0])).toBeLessThan(1e-30);
      expect([...y.slice(4, 6)]).toEqual([NaN, NaN]);
    }
  });

  test.for([
    [
      [2, 3, 4, 5],
      [2, 3, 4, 5],
    ],
    [[2, 3, 4, 8], [8]],
    [[8], [3, 8]],
    [
      [2, 3, 5],
      [1, 3, 1],
    ],
    [
      [2, 8, 5, 5],
      [2, 8, 1, 1],
    ],
    [
      [1, 4],
      [3, 1],
    ],
    [[7], []],
  ] as const)("arithmetic of %o and %o", async ([a, b]) => {
    const size = (shape: readonly number[]) => shape.reduce((x, y) => x * y, 1);
    const [x, y] = [numbers(elem, 1, size(a)), numbers(elem, 2, size(b), { mean: 3 })];
    const rank = Math.max(a.length, b.length);
    const pad = (shape: readonly number[]) => [...new Array<number>(rank - shape.length).fill(1), ...shape];
    const [pa, pb] = [pad(a), pad(b)];
    const whole = pa.map((n, i) => Math.max(n, pb[i]!));
    const at = (shape: readonly number[], index: number) => {
      let [rest, offset, stride] = [index, 0, 1];
      for (let i = rank - 1; i >= 0; i--) {
        if (shape[i] !== 1) offset += (rest % whole[i]!) * stride;
        rest = Math.floor(rest / whole[i]!);
        stride *= shape[i]!;
      }
      return offset;
    };
    for (const [op, apply] of [
      [ops.add, (p: number, q: number) => p + q],
      [ops.sub, (p: number, q: number) => p - q],
      [ops.mul, (p: number, q: number) => p * q],
      [ops.div, (p: number, q: number) => p / q],
    ] as const) {
      const exact = Float64Array.from({ length: size(whole) }, (_, i) => apply(x[at(pa, i)]!, y[at(pb, i)]!));
      const result = await run(gpu, () => op(tensor(x, a), tensor(y, b)));
      expect(worst(result, exact)).toBeLessThan(limit * magnitude(exact));
    }
  });

  test("weightedSum of one to six terms, clamp, numbers", async () => {
    const terms = [1, 2, 3, 4, 5, 6].map((seed) => numbers(elem, seed, 37));
    for (let n = 1; n <= 6; n++) {
      const exact = Float64Array.from({ length: 37 }, (_, i) =>
        terms.slice(0, n).reduce((sum, t, j) => sum + (j - 1.5) * t[i]!, 0),
      );
      const y = await run(gpu, () =>
        ops.weightedSum(terms.slice(0, n).map((t, j) => [j - 1.5, tensor(t, [37])] as const)),
      );
      expect(worst(y, exact)).toBeLessThan(limit * magnitude(exact));
    }
    const x = terms[0]!;
    expect(
      worst(
        await run(gpu, () => ops.clamp(tensor(x, [37]), -0.5, 0.25)),
        x.map((v) => Math.min(Math.max(v, -0.5), 0.25)),
      ),
    ).toBe(0);
    expect(
      worst(
        await run(gpu, () => ops.mul(tensor(x, [37]), 2)),
        x.map((v) => v * 2),
      ),
    ).toBe(0);
  });

  test.for([4, 12, 64, 1280])("geglu of %i channels", async (c) => {
    const x = numbers(elem, 1, 5 * 2 * c, { scale: 2 });
    const exact = geglu(x, c);
    expect(worst(await run(gpu, () => ops.geglu(tensor(x, [5, 2 * c]))), exact)).toBeLessThan(limit * magnitude(exact));
  });

  test.for([
    { input: [3, 5], output: [6, 10], c: 8 },
    { input: [7, 4], output: [5, 11], c: 3 },
    { input: [1, 1], output: [4, 3], c: 4 },
    { input: [9, 6], output: [23, 17], c: 5 },
  ] as const)("resizing $input to $output, $c channels", async ({ input, output, c }) => {
    const x = numbers(elem, 1, 2 * input[0] * input[1] * c);
    const of = (values: Float32Array) => tensor(values, [2, ...input, c]);
    expect(
      worst(
        await run(gpu, () => ops.interpolate(of(x), { size: output })),
        interpolate(x, { n: 2, input, output, c }, "nearest"),
      ),
    ).toBe(0);
    for (const alignCorners of [false, true]) {
      const exact = interpolate(x, { n: 2, input, output, c }, "bilinear", alignCorners);
      const y = await run(gpu, () => ops.interpolate(of(x), { size: output, mode: "bilinear", alignCorners }));
      expect(worst(y, exact)).toBeLessThan((elem === "f32" ? 1e-5 : HALF_LIMIT) * magnitude(exact)); // places are float32 too
    }
  });

  test.for([
    { input: [6, 8], kernel: 2, stride: 2, pad: 0, c: 4 },
    { input: [7, 5], kernel: 3, stride: 2, pad: 1, c: 5 },
  ] as const)("pooling $input by $kernel, stride $stride, padding $pad", async ({ input, kernel, stride, pad, c }) => {
    const output = input.map((size) => Math.floor((size + 2 * pad - kernel) / stride) + 1) as [number, number];
    const x = numbers(elem, 1, 2 * input[0] * input[1] * c, { mean: -5 });
    const options = { kernelSize: kernel, stride, padding: pad };
    const of = () => tensor(x, [2, ...input, c]);
    expect(
      worst(
        await run(gpu, () => ops.maxPool2d(of(), options)),
        pool(x, { n: 2, input, output, c }, "max", { kernel, stride, pad }),
      ),
    ).toBe(0);
    const average = pool(x, { n: 2, input, output, c }, "average", { kernel, stride, pad });
    expect(worst(await run(gpu, () => ops.avgPool2d(of(), options)), average)).toBeLessThan(limit * magnitude(average));
  });

  test("moving: permute, concat, slice, repeat, cast", async () => {
    const x = numbers(elem, 1, 2 * 3 * 5 * 7);
    const t = () => tensor(x, [2, 3, 5, 7]);
    const moved = await run(gpu, () => ops.permute(t(), [0, 2, 3, 1]));
    expect(
      worst(
        moved,
        Float64Array.from(
          x,
          (_, i) =>
            x[((Math.floor(i / 105) * 3 + (i % 3)) * 5 + (Math.floor(i / 21) % 5)) * 7 + (Math.floor(i / 3) % 7)]!,
        ),
      ),
    ).toBe(0);
    expect(worst(await run(gpu, () => ops.permute(ops.permute(t(), [3, 1, 0, 2]), [2, 1, 3, 0])), x)).toBe(0);
    expect(worst(await run(gpu, () => ops.concat([ops.slice(t(), 2, 0, 2), ops.slice(t(), 2, 2, 5)], 2)), x)).toBe(0);
    expect(worst(await run(gpu, () => ops.slice(ops.repeat(t(), 3), 0, 4, 6)), x)).toBe(0);
    expect(worst(await run(gpu, () => ops.cast(t(), "f32")), x)).toBe(0);
    if (gpu.facts.f16)
      expect(worst(await run(gpu, () => ops.cast(ops.cast(t(), "f16"), "f32")), x)).toBeLessThan(
        2 ** -11 * magnitude(x),
      );
  });

  test("embedding, with ids outside the table", async () => {
    const table = numbers(elem, 1, 11 * 6);
    const ids = Int32Array.of(0, 10, 3, 3, -1, 11);
    const y = await run(gpu, () => ops.embedding(Tensor.from(gpu, ids, [2, 3]), tensor(table, [11, 6])));
    expect(
      worst(
        y,
        Float64Array.from({ length: 36 }, (_, i) => table[ids[Math.floor(i / 6)]! * 6 + (i % 6)] ?? 0),
      ),
    ).toBe(0);
  });

  test("nonFinite counts NaNs and infinities, and nothing in the padding", async () => {
    const x = numbers(elem, 1, 1001);
    x.set([NaN, Infinity, -Infinity], 500);
    const t = tensor(x, [1001]);
    expect(await ops.nonFinite(t)).toBe(3);
    t.dispose();
  });
});
