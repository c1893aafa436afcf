import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Device } from "../../src/gpu/device.ts";
import { defineKernel, type View } from "../../src/gpu/kernel.ts";
import { requestDevice } from "../../src/node/device.ts";
import { silu } from "../../src/tensor/ops/unary.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { DeviceLostError, KernelError, OutOfMemoryError, ShaderError, type ToileError } from "../../src/util/errors.ts";
import { devices } from "../helpers.ts";

const INDEX = `fn group_index(group: vec3u, groups: vec3u) -> u32 {
  return group.x + group.y * groups.x;
}`;

// y[i] = i + base, one thread to a workgroup
const COUNT = `//!spec
const STEP: u32 = 1u;
//!end
struct Params { groups: u32, base: i32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = group_index(group, groups);
  if (i >= p.groups) { return; }
  y[i] = i32(i * STEP) + p.base;
}`;

const counting = (source = COUNT) =>
  defineKernel({
    name: "count",
    files: { "lib/index.wgsl": INDEX, "count.wgsl": source },
    spec: { STEP: 1 },
    params: { base: "i32" },
    bind: { y: "read_write" },
  });

const ints = async (device: Device, view: View) => new Int32Array(await device.read(view));

describe.each(await devices())("device $name", ({ gpu }) => {
  test("counts more workgroups than one dimension takes", async () => {
    const groups = gpu.facts.limits.maxComputeWorkgroupsPerDimension * 2 + 3;
    const y = gpu.alloc(groups * 4);
    gpu.run(counting(), { params: { base: -5 }, bind: { y }, groups });
    const found = await ints(gpu, y);
    gpu.release(y);
    expect(found.length).toBe(groups);
    expect(found.findIndex((value, i) => value !== i - 5)).toBe(-1);
  });

  test("runs in the order in which it was recorded, over many batches", async () => {
    const [y, z] = [gpu.alloc(4), gpu.alloc(4 * 400)];
    for (let i = 0; i < 400; i++) {
      gpu.run(counting(), { params: { base: i }, bind: { y }, groups: 1 });
      gpu.copy(y, { ...z, offset: 4 * i, bytes: 4 });
    }
    const found = await ints(gpu, z);
    for (const view of [y, z]) gpu.release(view);
    expect([...found]).toEqual(Array.from({ length: 400 }, (_, i) => i));
  });

  test("submits few of what it does not know, though much was known of before", async () => {
    const y = gpu.alloc(4);
    const submits = vi.spyOn(gpu.gpu.queue, "submit");
    const submitted = async (step: number, groups: number) => {
      submits.mockClear();
      const call = { spec: { STEP: step }, params: { base: 0 }, bind: { y }, groups };
      for (let i = 0; i < 128; i++) gpu.run(counting(), call);
      await gpu.flush();
      return submits.mock.calls.length;
    };
    let known = Infinity;
    for (let i = 0; i < 20 && known > 1; i++) known = await submitted(7, 1);
    expect(known).toBe(1);
    expect(await submitted(11, 1)).toBeGreaterThan(3); // another pipeline
    expect(await submitted(7, 1024)).toBeGreaterThan(3); // more work
    submits.mockRestore();
    gpu.release(y);
  });

  test("uploads any number of bytes, and never over memory that waiting work reads", async () => {
    const results: Tensor[] = [];
    for (let i = 0; i < 20; i++)
      results.push(gpu.scope(() => silu(Tensor.from(gpu, new Float32Array(64).fill(i), [64]))).keep());
    for (const [i, result] of results.entries()) {
      expect((await result.data())[63]).toBeCloseTo(i / (1 + Math.exp(-i)), 4);
      result.dispose();
    }
    for (const length of [1, 2, 3, 5, 16, 17]) {
      const view = gpu.upload(Uint8Array.from({ length }, (_, i) => i + 1));
      expect([...new Uint8Array(await gpu.read(view))]).toEqual(Array.from({ length }, (_, i) => i + 1));
      gpu.release(view);
    }
  });

  test("flushes and reads may overlap", async () => {
    const tensors = Array.from({ length: 12 }, (_, i) => silu(Tensor.from(gpu, [i, -i, 2 * i, 0.5], [4])));
    const [values] = await Promise.all([Promise.all(tensors.map((t) => t.data())), gpu.flush(), gpu.flush()]);
    for (const [i, value] of values.entries()) expect(value[0]).toBeCloseTo(i / (1 + Math.exp(-i)), 5);
    for (const t of tensors) t.dispose();
  });

  test("what is read may be given back, and its memory reused, before the bytes are here", async () => {
    const x = silu(Tensor.from(gpu, new Float32Array(512).fill(5), [512]));
    const first = x.data();
    x.dispose();
    const later = [1, 2, 3].map((value) => silu(Tensor.from(gpu, new Float32Array(512).fill(value), [512])));
    const all = await Promise.all([first, ...later.map((t) => t.data())]);
    expect(all.map((values) => Math.round(values[7]! * 1000))).toEqual([4967, 731, 1762, 2858]);
    for (const t of later) t.dispose();
  });

  test("a scope frees what its result does not hold", async () => {
    const before = gpu.memory.live;
    const make = () => Tensor.from(gpu, [1, 2, 3, 4], [4]);
    const kept = gpu.scope(() => {
      make();
      const inner = gpu.scope(() => ({ list: [silu(make()), new Map([["b", make()]])], unused: 3 }));
      make();
      return inner;
    });
    expect(gpu.memory.live).toBe(before + 2);
    const [first, map] = kept.list as [Tensor, Map<string, Tensor>];
    expect(first.disposed || map.get("b")!.disposed).toBe(false);
    expect(await first.data()).toHaveLength(4);
    first.dispose();
    first.dispose(); // harmless
    map.get("b")!.dispose();
    expect(gpu.memory.live).toBe(before);
    expect(() => first.view).toThrow("after dispose");
  });

  test("a scope frees everything when it throws, and keep() leaves it", () => {
    const before = gpu.memory.live;
    let kept: Tensor | undefined;
    const run = () =>
      gpu.scope(() => {
        Tensor.zeros(gpu, [100]);
        kept = Tensor.zeros(gpu, [100]).keep();
        throw new Error("inside");
      });
    expect(run).toThrow("inside");
    expect(gpu.memory.live).toBe(before + 1);
    kept!.dispose();
    expect(gpu.memory.live).toBe(before);
  });

  test("tensors that share memory free it with the last of them; a leak is seen", () => {
    const before = gpu.memory.live;
    const x = Tensor.zeros(gpu, [2, 6]);
    const y = x.reshape(3, -1);
    expect(y.shape).toEqual([3, 4]);
    x.dispose();
    expect(gpu.memory.live).toBe(before + 1); // what a forgotten dispose looks like
    y.dispose();
    expect(gpu.memory.live).toBe(before);
  });

  test("a thousand steps allocate no more than one", async () => {
    const step = () => gpu.scope(() => void silu(silu(Tensor.zeros(gpu, [1000]))));
    for (let i = 0; i < 5; i++) step();
    await gpu.flush();
    const { live, allocations } = gpu.memory;
    for (let i = 0; i < 1000; i++) {
      step();
      if (i % 100 === 99) await gpu.flush();
    }
    expect(gpu.memory.live).toBe(live);
    expect(gpu.memory.allocations - allocations).toBeLessThan(300); // uploads may not reuse what waiting work reads
  });

  test("says where a kernel does not compile, and works afterwards", async () => {
    const broken = counting(COUNT.replace("i32(i * STEP)", "foo(i)"));
    const y = gpu.alloc(16);
    gpu.run(broken, { spec: { STEP: 2 }, params: { base: 0 }, bind: { y }, groups: 1 });
    const failure = await gpu.flush().then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    expect(failure).toBeInstanceOf(ShaderError);
    expect(failure!.message).toMatch(/^count \{STEP: 2\}: count\.wgsl:11:\d+ unresolved.*foo/);
    gpu.run(counting(), { params: { base: 3 }, bind: { y }, groups: 4 });
    expect([...(await ints(gpu, y))]).toEqual([3, 4, 5, 6]);
    gpu.release(y);
  });

  test.each([
    [{ params: { base: 0.5 }, groups: 1 }, "count: parameter base is 0.5"],
    [{ params: {}, groups: 1 }, "count: parameter base is missing"],
    [{ params: { base: 0 }, groups: 0 }, "count: 0 workgroups"],
  ])("refuses %j", (call, message) => {
    const y = gpu.alloc(16);
    const run = () => gpu.run(counting(), { ...(call as { params: { base: number }; groups: number }), bind: { y } });
    expect(run).toThrow(message);
    expect(run).toThrow(KernelError);
    gpu.release(y);
  });

  test("refuses a binding larger than the device's, naming it", () => {
    const bytes = gpu.facts.limits.maxStorageBufferBindingSize + 16;
    const y = { ...gpu.alloc(16), bytes };
    const run = () => gpu.run(counting(), { params: { base: 0 }, bind: { y }, groups: 1 });
    expect(run).toThrow(OutOfMemoryError);
    expect(run).toThrow(`count: y needs a binding of ${bytes} bytes`);
    gpu.release(y);
  });

  test("profiles every kernel by its variant", async ({ skip }) => {
    skip(!gpu.facts.timestamps, "no timestamp-query");
    const x = Tensor.zeros(gpu, [4096]);
    const rows = await gpu.profile(() => {
      gpu.scope(() => void [silu(x), silu(x), silu(x)]);
      const y = gpu.alloc(16);
      gpu.run(counting(), { params: { base: 0 }, bind: { y }, groups: 4 });
      gpu.release(y);
    });
    x.dispose();
    const counts = Object.fromEntries(rows.map((row) => [row.kernel.split(" ")[0], row.dispatches]));
    expect(counts).toEqual({ unary: 3, count: 1 });
    for (const row of rows) expect(row.milliseconds).toBeGreaterThanOrEqual(0);
  });
});

describe("a device that is gone", () => {
  test("throws DeviceLostError from everything, a flush under way included", async () => {
    const device = await requestDevice();
    const x = silu(Tensor.zeros(device, [64]));
    await x.data();
    silu(x);
    device.destroy();
    for (const act of [() => silu(x), () => device.alloc(4), () => Tensor.zeros(device, [1])])
      expect(act).toThrow(DeviceLostError);
    await expect(x.data()).rejects.toThrow(DeviceLostError);
    const failure = await device.flush().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(DeviceLostError);
    expect((failure as DeviceLostError).retryable).toBe(false);
    x.dispose(); // still harmless
  });
});

test("a use of a GPU device that ended is not kept for as long as the GPU device is", async () => {
  const device = await requestDevice();
  const use = async () => {
    const one = new Device(device.gpu, device.facts);
    one.scope(() => void silu(Tensor.zeros(one, [64])));
    await one.flush();
    expect(one.pipelineCount).toBe(1);
    one.detach();
    expect(one.pipelineCount).toBe(0);
    return new WeakRef(one);
  };
  const used = await use();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  await vi.waitFor(() => {
    collect();
    expect(used.deref() === undefined).toBe(true); // an error with the device in it would keep it
  });
  device.destroy();
});

// Dawn's null backend has 512 MiB and says so when they are gone.
describe("out of memory", () => {
  let device: Device;
  beforeAll(async () => {
    device = await requestDevice({ backend: "null" });
  });
  afterAll(() => device.destroy());

  test("is a typed error of the next flush, and passes once memory is freed", async () => {
    const held: View[] = [];
    const take = async () => {
      for (let i = 0; i < 12; i++) held.push(device.alloc(64 * 2 ** 20));
      await device.flush();
    };
    const failure = await take().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(OutOfMemoryError);
    expect((failure as OutOfMemoryError).bytes).toBe(64 * 2 ** 20);
    expect((failure as Error).message).toMatch(/^alloc: 67108864 bytes refused by .*, which holds \d+ for us already$/);
    for (const view of held.reverse()) device.release(view);
    expect(device.memory.live).toBe(0);
    // the buffers that were refused are not handed out again, though nobody emptied the pool
    const again = [0, 1, 2, 3].map(() => device.alloc(64 * 2 ** 20));
    await device.flush();
    for (const view of again) device.release(view);
  });

  test("a buffer beyond the device's limit is refused at once", () => {
    const { maxBufferSize } = device.facts.limits;
    expect(() => device.alloc(maxBufferSize + 1)).toThrow(OutOfMemoryError);
    expect(() => device.alloc(maxBufferSize + 1)).toThrow(`largest buffer is ${maxBufferSize}`);
  });
});

test("guards tell of writes past the end", async () => {
  const device = await requestDevice({ guard: 64 });
  const y = device.alloc(16);
  device.run(counting(), { params: { base: 0 }, bind: { y }, groups: 4 });
  await device.checkGuards();
  device.run(counting(), { params: { base: 0 }, bind: { y }, groups: 5 });
  const failure = await device.checkGuards().then(
    () => undefined,
    (error: unknown) => error as ToileError,
  );
  expect(failure).toBeInstanceOf(KernelError);
  expect(failure!.message).toMatch(/of 16 bytes was written at byte 16$/);
  device.destroy();
});
