import { afterAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { requestDevice } from "../../src/node/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { checkpoint, checkpointAll, grad, Tape, valueAndGrad } from "../../src/tensor/tape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { ShapeError } from "../../src/util/errors.ts";
import { normal } from "../helpers.ts";
import { inputsFor, ODD } from "./cases.ts";

const gpu = await requestDevice({ guard: 256 });
afterAll(() => gpu.destroy());

const tensor = (seed: number, ...shape: number[]) =>
  Tensor.from(
    gpu,
    normal(
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );

const read = (t: Tensor) => t.data().finally(() => t.dispose());

/** Names of what runs on the device, and how many bytes are handed out, while `work` is recorded. */
function trace(device: Device, work: () => void): { runs: string[]; bytes: number } {
  const [runs, run, alloc] = [[] as string[], device.run, device.alloc];
  let bytes = 0;
  device.run = (kernel, dispatch) => {
    runs.push(kernel.name);
    run.call(device, kernel, dispatch);
  };
  device.alloc = (size) => {
    bytes += size;
    return alloc.call(device, size);
  };
  try {
    work();
    return { runs, bytes };
  } finally {
    [device.run, device.alloc] = [run, alloc];
  }
}

describe("without a tape", () => {
  test("no op runs or allocates more than it does where nothing is watched", () => {
    for (const [name, op] of Object.entries(ODD)) {
      const work = () => gpu.scope(() => void op(inputsFor(gpu, "f32")));
      const plain = trace(gpu, work);
      const tape = new Tape(gpu);
      expect([name, trace(gpu, () => tape.run(work))]).toEqual([name, plain]);
      tape.dispose();
      expect(gpu.memory.live).toBe(0);
    }
  });

  test("after a tape nothing is recorded", () => {
    gpu.scope(() => {
      const x = tensor(1, 5);
      const tape = new Tape(gpu);
      tape.watch([x]);
      expect(() => tape.run(() => ops.add(x, tensor(2, 4)))).toThrow(ShapeError);
      const before = gpu.memory.live;
      gpu.scope(() => void ops.silu(x));
      expect(gpu.memory.live).toBe(before);
    });
  });
});

test("value and gradients of a parameter, of one that is not used, and of a constant's path", async () => {
  const { value, gradients } = gpu.scope(() => {
    const [w, unused, x] = [tensor(1, 4, 3), tensor(2, 2), tensor(3, 5, 3)];
    return valueAndGrad(gpu, () => ops.mean(ops.mul(ops.linear(x, w), ops.linear(x, w))), [w, unused]);
  });
  expect(value.shape).toEqual([]);
  expect(gradients.map((g) => g?.shape)).toEqual([[4, 3], undefined]);
  const [w, x] = [normal(1, 12), normal(3, 15)];
  const y = (i: number, o: number) => [0, 1, 2].reduce((sum, k) => sum + x[i * 3 + k]! * w[o * 3 + k]!, 0);
  const expected = Array.from({ length: 12 }, (_, at) => {
    const [o, k] = [Math.floor(at / 3), at % 3];
    return [0, 1, 2, 3, 4].reduce((sum, i) => sum + (2 / 20) * y(i, o) * x[i * 3 + k]!, 0);
  });
  const found = await read(gradients[0]!);
  for (const [i, v] of expected.entries()) expect(found[i]).toBeCloseTo(v, 5);
  value.dispose();
  expect(gpu.memory.live).toBe(0);
});

test("what inner scopes free is still there for the backward pass, and is freed after it", async () => {
  const x = tensor(1, 40, 8);
  const { live } = gpu.memory;
  let during = 0;
  const [g] = grad(gpu, () => {
    let y = gpu.scope(() => ops.silu(ops.mul(x, 2)));
    for (let i = 0; i < 3; i++) y = gpu.scope(() => ops.gelu(ops.mul(y, y)));
    during = gpu.memory.live;
    return ops.mean(y);
  }, [x]);
  expect(during).toBeGreaterThan(live + 6);
  expect(gpu.memory.live).toBe(live + 1);
  expect((await read(g!)).every(Number.isFinite)).toBe(true);
  x.dispose();
});

test("only what the needed gradients read is kept", () => {
  gpu.scope(() => {
    const [x, w, frozen] = [tensor(1, 64, 32), tensor(2, 32, 32), tensor(3, 32, 32)];
    const kept = (watched: Tensor, fn: () => Tensor) => {
      const tape = new Tape(gpu);
      tape.watch([watched]);
      const before = gpu.memory.live;
      tape.run(() => gpu.scope(fn));
      const { live } = gpu.memory;
      tape.dispose();
      return live - before;
    };
    // through a frozen layer flows a gradient, for which its weight is read but not what it was applied to
    expect(kept(x, () => ops.linear(ops.linear(ops.linear(x, frozen), frozen), frozen))).toBe(1);
    // the last of two layers keeps its own input
    expect(kept(w, () => ops.linear(ops.linear(x, w), w))).toBe(2);
  });
  expect(gpu.memory.live).toBe(0);
});

test("a failed backward pass leaves nothing behind", () => {
  const x = tensor(1, 6);
  const tape = new Tape(gpu);
  tape.watch([x]);
  const y = gpu.scope(() => tape.run(() => ops.silu(ops.mul(x, x))));
  expect(() => tape.backward(y, [x])).toThrow("backward: [6] needs a gradient of its own, got none");
  const seed = tensor(2, 6);
  const run = gpu.run;
  gpu.run = () => {
    throw new Error("broken");
  };
  expect(() => tape.backward(y, [x], seed)).toThrow("broken");
  gpu.run = run;
  tape.dispose();
  for (const t of [x, y, seed]) t.dispose();
  expect(gpu.memory.live).toBe(0);
});

describe("checkpoint", () => {
  /** A small network whose blocks may be checkpointed: its loss, gradients and most live bytes. */
  async function train(wrap: (fn: (x: Tensor, t: Tensor) => Tensor, x: Tensor, t: Tensor) => Tensor) {
    const [weights, time] = [[1, 2, 3].map((seed) => tensor(seed, 32, 32)), tensor(7, 32)];
    let most = 0;
    const { value, gradients } = gpu.scope(() => {
      const start = tensor(9, 64, 32);
      return valueAndGrad(gpu, () => {
        let x = start;
        const shift = ops.silu(time); // read by every block, computed once
        for (const w of weights) {
          const block = (x: Tensor, t: Tensor) => {
            const h = ops.add(ops.silu(ops.linear(x, w)), t);
            return ops.add(x, ops.tanh(ops.mul(ops.gelu(h), shift)));
          };
          x = gpu.scope(() => wrap(block, x, time));
          most = Math.max(most, gpu.memory.bytes);
        }
        return ops.mean(ops.mul(x, x));
      }, [...weights, time]);
    });
    const found = [await read(value), ...(await Promise.all(gradients.map((g) => read(g!))))];
    for (const t of [...weights, time]) t.dispose();
    expect(gpu.memory.live).toBe(0);
    return { found, most };
  }

  test("gives the same bits and keeps less", async () => {
    const plain = await train((fn, x, t) => fn(x, t));
    const kept = await train((fn, x, t) => checkpoint((...own) => fn(own[0]!, own[1]!), x, t));
    const nested = await train((fn, x, t) =>
      checkpoint((...own) => checkpoint((...inner) => fn(inner[0]!, inner[1]!), own[0]!, own[1]!), x, t),
    );
    expect(kept.found).toEqual(plain.found);
    expect(nested.found).toEqual(plain.found);
    expect(kept.most).toBeLessThan(0.6 * plain.most);
  });

  test("has several results, one of them an input", async () => {
    const x = tensor(1, 6);
    const gradientOf = (fn: () => readonly Tensor[]) =>
      read(grad(gpu, () => ops.mean(fn().reduce((a, b) => ops.mul(a, b))), [x])[0]!);
    const parts = (own: Tensor) => [ops.silu(own), own, ops.exp(own)];
    expect(await gradientOf(() => checkpointAll((own) => parts(own!), x))).toEqual(await gradientOf(() => parts(x)));
    x.dispose();
    expect(gpu.memory.live).toBe(0);
  });

  test("is a plain call without a tape", async () => {
    const y = gpu.scope(() => checkpoint((own) => ops.silu(own!), tensor(1, 6)));
    const z = gpu.scope(() => ops.silu(tensor(1, 6)));
    expect(await read(y)).toEqual(await read(z));
  });
});

test.skipIf(!gpu.facts.f16)("a packed float16 copy of a float32 master", async () => {
  const x = Tensor.from(gpu, normal(1, 5 * 6), [5, 6], "f16");
  const master = tensor(2, 7, 6);
  const loss = (weight: () => Tensor) => ops.mseLoss(ops.linear(x, weight()), Tensor.zeros(gpu, [5, 7], "f16"));
  const gradientOf = (weight: () => Tensor) => read(grad(gpu, () => loss(weight), [master])[0]!);
  const half = await gradientOf(() => ops.packWeight(ops.cast(master, "f16")));
  const natural = await gradientOf(() => ops.cast(master, "f16"));
  expect(half.length).toBe(42);
  for (const [i, v] of natural.entries()) expect(Math.abs(half[i]! - v)).toBeLessThan(2e-3);
  for (const t of [x, master]) t.dispose();
  expect(gpu.memory.live).toBe(0);
});
