import { afterAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { Failures } from "../../src/gpu/failures.ts";
import { defineKernel, type View } from "../../src/gpu/kernel.ts";
import { requestDeviceFrom } from "../../src/gpu/request.ts";
import { requestDevice } from "../../src/node/device.ts";
import { add, conv2d, groupNorm, linear, silu } from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import {
  DeviceError,
  DeviceLostError,
  DTypeError,
  InputError,
  OutOfMemoryError,
  ShaderError,
  ShapeError,
  ToileError,
} from "../../src/util/errors.ts";

const device = await requestDevice();
afterAll(() => device.destroy());

const SOURCE = `//!spec
const BASE: u32 = 1u;
//!end
struct Params { groups: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u) { y[group.x] = x[group.x] + BASE * p.groups; }`;

const kernel = (name: string, source = SOURCE) =>
  defineKernel({
    name,
    files: { "plus.wgsl": source },
    spec: { BASE: 1 },
    params: {},
    bind: { x: "read", y: "read_write" },
  });
const plus = kernel("plus");
const broken = (name: string) => kernel(name, SOURCE.replace("BASE *", "nowhere *"));

const run = (which: typeof plus, x: View, y: View) => device.run(which, { params: {}, bind: { x, y }, groups: 1 });
const outcome = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as Error,
  );
const first = async (view: View) => new Uint32Array(await device.read(view))[0];
const start = () => device.upload(Uint32Array.of(5));
const free = (...views: View[]) => views.forEach((view) => device.release(view));

describe("failures by batch", () => {
  test("everybody who waited hears of it, nobody who comes later", () => {
    const failures = new Failures();
    const early = failures.begin(3);
    const [one, two] = [failures.begin(5), failures.begin(5)];
    const error = new ToileError("test", "4 failed");
    failures.add(4, error);
    expect(() => failures.end(early)).not.toThrow(); // its batches were good
    expect(() => failures.end(one)).toThrow(error);
    const late = failures.begin(6);
    expect(() => failures.end(two)).toThrow(error);
    expect(() => failures.end(late)).not.toThrow();
  });

  test("two flushes at once both throw, the next does not", async () => {
    const [x, y] = [start(), device.alloc(4)];
    run(broken("two flushes"), x, y);
    const outcomes = await Promise.all([outcome(device.flush()), outcome(device.flush())]);
    for (const error of outcomes) expect(error).toBeInstanceOf(ShaderError);
    expect(await outcome(device.flush())).toBeUndefined();
    free(x, y);
  });

  test("a reader whose work is good gets its numbers, beside one whose work failed", async () => {
    const [x, good, bad] = [start(), device.alloc(4), device.alloc(4)];
    run(plus, x, good);
    run(broken("beside"), x, bad);
    const [value, error] = await Promise.all([first(good), outcome(first(bad))]);
    expect(value).toBe(6);
    expect(error).toBeInstanceOf(ShaderError);
    expect(await outcome(device.flush())).toBeUndefined(); // somebody was told
    free(x, good, bad);
  });

  test("what failed throws the same each time it is read, and so does what was made from it", async () => {
    const [x, y, z] = [start(), device.alloc(4), device.alloc(4)];
    run(broken("again"), x, y);
    const error = await outcome(first(y));
    expect(error).toBeInstanceOf(ShaderError);
    expect(await outcome(first(y))).toBe(error);
    run(plus, y, z);
    expect(await outcome(first(z))).toBe(error);
    expect(await outcome(first(z))).toBe(error);
    run(plus, x, y); // written anew, it is good again
    expect(await first(y)).toBe(6);
    run(broken("pooled"), x, z);
    await outcome(device.flush());
    free(y, z);
    const again = device.alloc(4); // and so is its memory in other hands
    run(plus, x, again);
    expect(await first(again)).toBe(6);
    free(x, again);
  });

  test("a failure that is known only after dependent work was submitted reaches that work", async () => {
    const [x, y, z] = [start(), device.alloc(4), device.alloc(4)];
    // a binding that the device refuses at submission: the whole batch does not run
    run(plus, x, { ...y, offset: 4, bytes: 4 });
    device.copy(x, y);
    const wait = outcome(device.flush());
    run(plus, y, z);
    const [error, read] = await Promise.all([wait, outcome(first(z))]);
    expect(error).toBeInstanceOf(ToileError);
    expect(read).toBe(error);
    free(x, y, z);
  });
});

describe("what throws leaves nothing behind", () => {
  test.each([
    ["silu", (x: Tensor) => silu(x)],
    ["add", (x: Tensor) => add(Tensor.empty(x.device, x.shape), x)],
    ["groupNorm", (x: Tensor, live: Tensor) => groupNorm(x, 1, { weight: live, bias: live })],
    ["linear", (x: Tensor, live: Tensor) => linear(x, Tensor.empty(x.device, [8, 4]), { bias: live })],
    ["conv2d", (x: Tensor) => conv2d(x, x)],
  ])("%s of a disposed tensor, outside of a scope", (_, op) => {
    const [x, vector] = [Tensor.zeros(device, [4, 4, 4, 4]), Tensor.zeros(device, [4])];
    x.dispose();
    const { live } = device.memory;
    expect(() => op(x, vector)).toThrow(ShapeError);
    expect(device.memory.live).toBe(live);
    vector.dispose();
  });

  test("tensors of two devices in one op", async () => {
    const other = await requestDevice({ backend: "null" });
    const [x, y] = [Tensor.zeros(device, [4]), Tensor.zeros(other, [4])];
    const { live } = device.memory;
    expect(() => add(x, y)).toThrow(DeviceError);
    expect(() => add(x, y)).toThrow(/b lies on another device than/);
    expect(device.memory.live).toBe(live);
    x.dispose();
    other.destroy();
  });

  test("an asynchronous scope", async () => {
    const { live } = device.memory;
    const scope = () =>
      device.scope(async () => {
        const x = Tensor.zeros(device, [4]);
        await x.data();
        return silu(x);
      });
    expect(scope).toThrow(InputError);
    expect(scope).toThrow("the function is asynchronous");
    await device.flush();
    expect(device.memory.live).toBe(live);
  });

  test("a set in a scope's result is kept", () => {
    const { live } = device.memory;
    const kept = device.scope(() => {
      Tensor.zeros(device, [4]);
      return new Set([Tensor.zeros(device, [4])]);
    });
    expect(device.memory.live).toBe(live + 1);
    for (const tensor of kept) tensor.dispose();
  });
});

describe("tensors that cannot be", () => {
  const shapes = [[-1], [2, 1.5], [NaN], [Infinity]];
  const makers = {
    empty: (shape: number[]) => Tensor.empty(device, shape),
    zeros: (shape: number[]) => Tensor.zeros(device, shape),
    from: (shape: number[]) => Tensor.from(device, [1, 2, 3], shape),
  };
  test.each(Object.keys(makers) as (keyof typeof makers)[])("Tensor.%s", (name) => {
    for (const shape of shapes) {
      expect(() => makers[name](shape)).toThrow(ShapeError);
      expect(() => makers[name](shape)).toThrow(
        `Tensor.${name}: sizes must be whole and not negative, got [${shape.join(", ")}]`,
      );
    }
  });

  test("of an unknown type", () => {
    for (const dtype of ["f64", "toString"] as unknown as "f32"[]) {
      expect(() => Tensor.empty(device, [2], dtype)).toThrow(DTypeError);
      expect(() => Tensor.zeros(device, [2], dtype)).toThrow(`no type "${dtype}"`);
      expect(() => Tensor.from(device, [1, 2], [2], dtype)).toThrow(DTypeError);
    }
  });
});

describe("devices that cannot be had", () => {
  const adapter = (gpu: object) => requestDeviceFrom(gpu as GPU);
  test("reject with DeviceError", async () => {
    const rejects = async () => Promise.reject(new Error("not today\nand more"));
    const answers = { features: new Set(), limits: { maxStorageBuffersPerShaderStage: 8 }, info: { device: "box" } };
    const errors = [
      await outcome(adapter({ requestAdapter: rejects })),
      await outcome(adapter({ requestAdapter: async () => ({ ...answers, requestDevice: rejects }) })),
    ];
    for (const error of errors) expect(error).toBeInstanceOf(DeviceError);
    expect(errors.map((error) => error!.message)).toEqual([
      "requestDevice: no WebGPU adapter: not today",
      "requestDevice: box gives no device: not today",
    ]);
  });
});

// Dawn's null backend has 512 MiB and says so when they are gone.
describe("memory that is refused", () => {
  const MiB = 2 ** 20;
  const nullDevice = () => requestDevice({ backend: "null" });

  test("is asked for again once what waits in the pool is let go of", async () => {
    const gpu = await nullDevice();
    const pooled = Array.from({ length: 7 }, () => gpu.alloc(64 * MiB));
    await gpu.flush();
    for (const view of pooled) gpu.release(view);
    const large = gpu.alloc(128 * MiB); // 448 of 512 MiB wait in buffers of another size
    const [x, y] = [gpu.alloc(16), large];
    gpu.run(plus, { params: {}, bind: { x, y }, groups: 1 });
    await gpu.flush();
    expect(large.buffer.refused).toBeUndefined();
    expect(gpu.memory.pooled).toBe(0);
    await gpu.read({ ...large, bytes: 4 });
    gpu.destroy();
  });

  test("spoils what was to be written there, each time it is read", async () => {
    const gpu = await nullDevice();
    const held = Array.from({ length: 7 }, () => gpu.alloc(64 * MiB));
    const [x, y, z] = [gpu.alloc(16), gpu.alloc(128 * MiB), gpu.alloc(16)];
    gpu.run(plus, { params: {}, bind: { x, y }, groups: 1 });
    gpu.run(plus, { params: {}, bind: { x: { ...y, bytes: 16 }, y: z }, groups: 1 });
    const errors = [
      await outcome(gpu.read(z)),
      await outcome(gpu.read({ ...y, bytes: 4 })),
      await outcome(gpu.read(z)),
    ];
    for (const error of errors) expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(await outcome(gpu.read(x))).toBeUndefined();
    expect(await outcome(gpu.flush())).toBeUndefined();
    for (const view of [...held, x, y, z]) gpu.release(view);
    gpu.destroy();
  });
});

describe("a device destroyed in the middle", () => {
  test("of work, of a read and of a flush gives typed errors", async () => {
    const gpu: Device = await requestDevice();
    const x = silu(Tensor.from(gpu, new Float32Array(1 << 16), [1 << 16]));
    const tensors = Array.from({ length: 300 }, () => silu(x));
    const waits = [outcome(x.data()), outcome(gpu.flush()), outcome(tensors[5]!.data())];
    await Promise.resolve();
    gpu.destroy();
    for (const error of await Promise.all(waits)) expect(error).toBeInstanceOf(DeviceLostError);
    expect(() => silu(x)).toThrow(DeviceLostError);
    for (const tensor of tensors) tensor.dispose();
  });

  test("of a replay too", async () => {
    const gpu: Device = await requestDevice();
    const x = Tensor.zeros(gpu, [1 << 16]);
    const recording = gpu.record(() => silu(silu(silu(x))));
    await recording.replay().data();
    const waits = [outcome(recording.replay().data()), outcome(gpu.flush())];
    gpu.destroy();
    for (const error of await Promise.all(waits)) expect(error).toBeInstanceOf(DeviceLostError);
    expect(() => recording.replay()).toThrow(DeviceLostError);
    recording.dispose();
    x.dispose();
  });
});
