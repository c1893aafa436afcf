import { describe, expect, test, vi } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import type { Step } from "../../src/gpu/commands.ts";
import { Pace, unknownTimes } from "../../src/gpu/pace.ts";
import type { Lifetime } from "../../src/gpu/packing.ts";
import { Part } from "../../src/gpu/part.ts";
import { livenessBound, planMemory } from "../../src/gpu/plan.ts";
import { requestDevice } from "../../src/node/device.ts";
import {
  add,
  concat,
  conv2d,
  groupNorm,
  linear,
  mul,
  packWeight,
  relu,
  repeat,
  silu,
  slice,
  softmax,
} from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { DeviceError, DTypeError, InputError, OutOfMemoryError, ShapeError } from "../../src/util/errors.ts";
import { devices, normal } from "../helpers.ts";

const outcome = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as Error,
  );

describe.each(await devices())("recording on $name", ({ gpu }) => {
  const random = (seed: number, shape: number[]) =>
    Tensor.from(
      gpu,
      normal(
        seed,
        shape.reduce((a, b) => a * b),
      ),
      shape,
    );
  const weights = () =>
    gpu.scope(() => ({
      conv: packWeight(random(1, [8, 8, 3, 3])),
      ones: random(2, [8]),
      matrix: packWeight(random(3, [8, 16])),
    }));

  /** A little network with a skip, a concatenation, views of one memory, and copies. */
  function network(x: Tensor, { conv, ones, matrix }: ReturnType<typeof weights>): { y: Tensor; soft: Tensor } {
    return gpu.scope(() => {
      const h = conv2d(groupNorm(x, 2, { weight: ones, bias: ones, activation: "silu" }), conv, {
        padding: 1,
        residual: x,
      });
      const both = concat([h, silu(x)], -1);
      const y = linear(both.reshape(-1, 16), matrix, { bias: ones, activation: "gelu" });
      const rows = concat([slice(y, 0, 0, 3), slice(y, 0, 5, 9)], 0);
      return { y: add(y.reshape(...x.shape), x), soft: softmax(rows) };
    });
  }

  test("replays give the bits of the function itself, for every input, and allocate nothing", async () => {
    const { live } = gpu.memory;
    const used = weights();
    const x = random(9, [1, 6, 5, 8]);
    const recording = gpu.record(() => network(x, used));
    for (const seed of [9, 10, 11]) {
      gpu.scope(() => void x.assign(random(seed, [1, 6, 5, 8])));
      const direct = network(x, used);
      await gpu.flush();
      const { allocations } = gpu.memory;
      const { y, soft } = recording.replay();
      if (seed > 9) expect(gpu.memory.allocations).toBe(allocations);
      expect(await y.data()).toEqual(await direct.y.data());
      expect(await soft.data()).toEqual(await direct.soft.data());
      for (const tensor of Object.values(direct)) tensor.dispose();
    }
    const { bytes, bound, arenas } = recording.memory;
    expect(bytes).toBeGreaterThanOrEqual(bound);
    expect(bytes).toBeGreaterThanOrEqual(arenas.reduce((a, b) => a + b));
    recording.dispose();
    recording.dispose(); // harmless
    for (const tensor of [x, ...Object.values(used)]) tensor.dispose();
    await gpu.flush();
    expect(gpu.memory.live).toBe(live);
  });

  test("keeps its weights and constants in memory though they are given back", async () => {
    const { live } = gpu.memory;
    const x = Tensor.from(gpu, [1, 2, 3, 4], [4]);
    const weight = Tensor.from(gpu, [10, 20, 30, 40], [4]);
    const recording = gpu.record(() => add(mul(x, weight), Tensor.from(gpu, [1, 1, 1, 1], [4])));
    weight.dispose();
    const others = [5, 6, 7].map((value) => Tensor.from(gpu, [value, value, value, value], [4])); // would get its memory
    expect([...(await recording.replay().data())]).toEqual([11, 41, 91, 161]);
    for (const tensor of [...others, x]) tensor.dispose();
    expect([...(await recording.replay().data())]).toEqual([11, 41, 91, 161]);
    recording.dispose();
    expect(gpu.memory.live).toBe(live);
  });

  test("belongs to the scope that it is made in, and its result to it", async () => {
    const { live } = gpu.memory;
    const x = Tensor.from(gpu, [-1, 2], [2]);
    const y = gpu.scope(() => {
      const recording = gpu.record(() => relu(x));
      return gpu.scope(() => silu(recording.replay()));
    });
    expect((await y.data())[0]).toBe(0);
    for (const tensor of [x, y]) tensor.dispose();
    expect(gpu.memory.live).toBe(live);
  });

  test("what fails in an input fails in the result, and is gone with a good input", async () => {
    const x = Tensor.from(gpu, [1, 2], [2]);
    const recording = gpu.record(() => mul(x, 2));
    await recording.replay().data();
    x.view.buffer.failure = { batch: 0, error: new InputError("test", "spoilt"), told: 0 };
    gpu.scope(() => void recording.replay());
    gpu.scope(() => void x.assign(Tensor.from(gpu, [3, 4], [2])));
    expect([...(await recording.replay().data())]).toEqual([6, 8]);
    for (const item of [recording, x]) item.dispose();
  });

  test("refuses what cannot be", async () => {
    const { live } = gpu.memory;
    const x = Tensor.from(gpu, [1, 2], [2]);
    expect(() => gpu.record(() => gpu.record(() => silu(x)))).toThrow("record: a recording inside of another");
    expect(() => gpu.record(async () => silu(x))).toThrow(InputError);
    const failing = () => {
      silu(x);
      throw new Error("inside");
    };
    expect(() => gpu.record(failing)).toThrow("inside");
    let reading: Promise<unknown> | undefined;
    const recording = gpu.record(() => {
      reading = outcome(x.data());
      return silu(x);
    });
    expect(await reading).toBeInstanceOf(DeviceError);
    expect(() => silu(recording.result)).toThrow("no memory before its first replay()");
    recording.dispose();
    expect(() => recording.replay()).toThrow("replay: the recording was disposed of");
    expect(() => x.assign(Tensor.from(gpu, [1, 2, 3], [3]))).toThrow(ShapeError);
    expect(() => gpu.scope(() => x.assign(Tensor.from(gpu, [1, 2], [2], "i32")))).toThrow(DTypeError);
    x.dispose();
    await gpu.flush();
    expect(gpu.memory.live).toBeLessThanOrEqual(live + 1);
  });

  test("is profiled dispatch by dispatch", async ({ skip }) => {
    skip(!gpu.facts.timestamps, "no timestamp-query");
    const x = Tensor.zeros(gpu, [4096]);
    const recording = gpu.record(() => silu(relu(silu(x))));
    const rows = await gpu.profile(() => recording.replay());
    expect(rows.map(({ dispatches }) => dispatches).sort((a, b) => b - a)).toEqual([2, 1]);
    for (const item of [recording, x]) item.dispose();
  });
});

test("a recording whose memory is refused says so each time it is read", async () => {
  const gpu: Device = await requestDevice({ backend: "null" }); // has 512 MiB
  const x = Tensor.zeros(gpu, [2 ** 26]);
  const recording = gpu.record(() => silu(silu(silu(x))));
  for (let i = 0; i < 2; i++) {
    const read = outcome(recording.replay().data());
    expect(await read).toBeInstanceOf(OutOfMemoryError);
  }
  gpu.destroy();
});

describe("what a recording cannot hold", () => {
  test("a replay, and results of a recording that was not replayed", async () => {
    const gpu = await requestDevice();
    const x = Tensor.from(gpu, Float32Array.of(1, 2, 3, 4), [4]);
    const inner = gpu.record(() => add(x, x));
    expect(() => gpu.record(() => mul(inner.result, x))).toThrow(
      "record: a result of another recording has no memory before its first replay()",
    );
    inner.replay();
    expect(() => gpu.record(() => inner.replay())).toThrow("replay: called inside record");
    expect(() => gpu.planned(() => mul(inner.result, x))).not.toThrow();
    gpu.destroy();
  });

  test("a tensor that no buffer of the device could hold", async () => {
    const gpu = await requestDevice({ fakeLimits: { maxBufferSize: 2 ** 20, maxStorageBufferBindingSize: 2 ** 18 } });
    const x = Tensor.zeros(gpu, [2 ** 16]);
    expect(() => gpu.record(() => repeat(x, 8))).toThrow(OutOfMemoryError);
    gpu.destroy();
  });

  test("memory that is refused halfway is given back", async () => {
    const gpu = await requestDevice();
    const x = Tensor.zeros(gpu, [64]);
    const recording = gpu.record(() => [silu(x), relu(x)]);
    const { live } = gpu.memory;
    const real = gpu.gpu.createBuffer.bind(gpu.gpu);
    const create = vi.spyOn(gpu.gpu, "createBuffer").mockImplementationOnce(real);
    create.mockImplementationOnce(() => {
      throw new Error("no more");
    });
    expect(() => recording.replay()).toThrow("no more");
    create.mockRestore();
    expect(gpu.memory.live).toBe(live);
    recording.replay();
    expect(gpu.memory.live).toBe(live + 2);
    gpu.destroy();
  });

  test("one profile at a time", async () => {
    const gpu = await requestDevice();
    const first = gpu.profile(() => {});
    await expect(gpu.profile(() => {})).rejects.toThrow("profile: work is being profiled already");
    await first;
    gpu.destroy();
  });
});

describe("a memory plan", () => {
  const alive = (a: Lifetime, b: Lifetime) => a.first <= b.last && b.first <= a.last;

  /** Chains with skips of random lengths and sizes, as networks are. */
  function chain(seed: number, length: number) {
    const numbers = normal(seed, 3 * length);
    const items = Array.from({ length }, (_, i) => ({
      bytes: 256 * Math.ceil(2 ** (6 + 2 * numbers[3 * i]!)),
      first: i,
      last: Math.min(
        length,
        i + 1 + (numbers[3 * i + 1]! > 1 ? Math.ceil(Math.abs(numbers[3 * i + 2]!) * length * 0.3) : 0),
      ),
    }));
    const apart = items.flatMap((item, r) =>
      items.flatMap((other, w) => (other.first > item.first && other.first <= item.last ? [[r, w] as const] : [])),
    );
    return { items, apart: apart.filter(([r, w]) => items[r]!.last === items[w]!.first || w === r + 1) };
  }

  test.each([1, 2, 3, 4, 5])("keeps apart what must be apart, chain %i", (seed) => {
    const { items, apart } = chain(seed, 120);
    const plan = planMemory(items, { apart, alignment: 256, mostBytes: 2 ** 31 });
    for (const [i, item] of items.entries())
      for (const [j, other] of items.entries()) {
        if (i >= j || !alive(item, other)) continue;
        const [a, b] = [plan.places[i]!, plan.places[j]!];
        const beside = a.arena !== b.arena || a.offset + item.bytes <= b.offset || b.offset + other.bytes <= a.offset;
        expect(beside).toBe(true);
      }
    for (const [r, w] of apart) expect(plan.places[r]!.arena).not.toBe(plan.places[w]!.arena);
    for (const [i, { arena, offset }] of plan.places.entries()) {
      expect(offset % 256).toBe(0);
      expect(offset + items[i]!.bytes).toBeLessThanOrEqual(plan.arenas[arena]!);
    }
    expect(plan.bound).toBe(livenessBound(items));
    expect(plan.bytes).toBeLessThanOrEqual(1.3 * plan.bound);
  });

  test("what is done twice takes the places of the first time", () => {
    const { items, apart } = chain(6, 120);
    const [later, other] = [121, items.length];
    const twice = [...items, ...items.map((item) => ({ ...item, first: item.first + later, last: item.last + later }))];
    const both = [...apart, ...apart.map(([r, w]) => [r + other, w + other] as const)];
    const [one, two] = [
      { items, apart },
      { items: twice, apart: both },
    ].map((list) => planMemory(list.items, { apart: list.apart, alignment: 256, mostBytes: 2 ** 31 }));
    expect(two!.arenas).toEqual(one!.arenas);
    const isLarge = (i: number) => items[i]!.bytes >= 0.01 * one!.bound;
    const large = items.flatMap((_, i) => (isLarge(i) ? [i] : []));
    expect(large.length).toBeGreaterThan(20);
    expect(large.map((i) => two!.places[i + other])).toEqual(large.map((i) => two!.places[i]));
  });

  test("the bound counts what is alive at once, ends included", () => {
    const items = [
      { bytes: 512, first: 0, last: 2 },
      { bytes: 256, first: 2, last: 3 },
      { bytes: 1024, first: 3, last: 3 },
    ];
    expect(livenessBound(items)).toBe(1280);
    expect(planMemory(items, { apart: [], alignment: 256, mostBytes: 4096 })).toMatchObject({
      bytes: 1280,
      bound: 1280,
    });
    expect(planMemory([], { apart: [], alignment: 256, mostBytes: 4096 })).toMatchObject({
      bytes: 0,
      bound: 0,
    });
  });

  test("no arena is larger than a buffer may be", () => {
    const items = Array.from({ length: 9 }, () => ({ bytes: 1000, first: 0, last: 9 }));
    const plan = planMemory(items, { apart: [], alignment: 256, mostBytes: 2500 });
    expect(plan.bytes).toBe(9 * 1024);
    for (const bytes of plan.arenas) expect(bytes).toBeLessThanOrEqual(2500);
  });
});

describe("pace", () => {
  const lengths = ({ segments }: Pace) => segments.map(({ length }) => length);
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);

  test("begins with small submits, and follows what they took", () => {
    const pace = new Pace(600);
    expect(Math.max(...lengths(pace))).toBe(8);
    const began = pace.segments;
    const quick = began.map(() => 0.01);
    pace.measured(began, quick);
    expect(lengths(pace)).toEqual([256, 256, 88]); // a quick GPU: by number
    pace.measured(pace.segments, [25_600, 256, 8800]); // then it is busy elsewhere: 100 ms, 1 ms and 100 ms a dispatch
    expect(sum(lengths(pace))).toBe(600);
    expect(lengths(pace).slice(0, 256)).toEqual(Array(256).fill(1));
    expect(lengths(pace).slice(256, 258)).toEqual([100, 100]);
    expect(lengths(pace).at(-1)).toBe(1);
    pace.measured(began, quick); // of a pass that was under way before
    expect(lengths(pace)).toEqual([256, 256, 88]);
  });

  test("work that is not recorded is cut by what others of its pipeline and size took", () => {
    const [copies, times] = [unknownTimes(), unknownTimes()];
    const steps = (x: number) => Array<Step>(128).fill({ pipeline: { times }, views: [], x, y: 1 } as never);
    const next = (x: number) => new Part(steps(x), 20, copies);
    const lengths: number[] = [];
    for (let i = 0; i < 6; i++) {
      const part = next(1);
      lengths.push(part.commands.length);
      part.took(0.1);
    }
    expect(lengths).toEqual([8, 16, 32, 64, 108, 108]); // twice as many at most each time, until all are one submit
    expect(next(1000).commands.length).toBe(8);
    next(1).took(108 * 250);
    expect(next(1).commands.length).toBe(1);
    next(1).took(20);
    expect(next(1).commands.length).toBe(1); // half of 250 ms are still too much
    expect(next(2 ** 90).commands.length).toBe(8);
  });

  test("of nothing is nothing", () => {
    expect(new Pace(0).segments).toEqual([]);
  });
});
