import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import type { View } from "../../src/gpu/kernel.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { gradientsOf, inputsFor, ODD } from "./cases.ts";
import { settings, type Setting } from "./harness.ts";

// What memory held before is nobody's business: ops run in storage full of NaNs give the bits that they give in fresh
// storage, and a second run gives the bits of the first. A kernel that multiplies padding by zero would not.

/** Runs `work` with every buffer that is handed out full of NaNs (0xffff… is one in float32 and in float16). */
function poisoned<T>(gpu: Device, work: () => T): T {
  const alloc = gpu.alloc;
  gpu.alloc = (bytes: number): View => ({
    ...gpu.upload(new Uint8Array(Math.ceil(bytes / 16) * 16).fill(0xff)),
    bytes,
  });
  try {
    return work();
  } finally {
    gpu.alloc = alloc;
  }
}

test("storage really is full of NaNs", async () => {
  const [{ gpu }] = (await settings()) as [Setting];
  const y = poisoned(gpu, () => {
    const made = Tensor.empty(gpu, [5]);
    void made.view.buffer; // memory is taken at the first use
    return made;
  });
  expect(await y.data().finally(() => y.dispose())).toEqual(new Float32Array(5).fill(NaN));
});

const bits = (values: Float32Array) => [...new Uint32Array(values.buffer, values.byteOffset, values.length)];

describe.each(await settings())("memory, $name", ({ gpu, elem }) => {
  test.for(Object.keys(ODD))("%s", async (name) => {
    const make = () => gpu.scope(() => ODD[name]!(inputsFor(gpu, elem)));
    const read = async (y: ReturnType<typeof make>) => y.data().finally(() => y.dispose());
    const first = await read(make());
    expect(first.every(Number.isFinite)).toBe(true);
    expect(bits(await read(poisoned(gpu, make)))).toEqual(bits(first));
    expect(bits(await read(make()))).toEqual(bits(first));
    const gradients = async (found: readonly Tensor[]) => Promise.all(found.map(async (g) => bits(await read(g))));
    const slopes = () => gradientsOf(gpu, elem, ODD[name]!);
    expect(await gradients(poisoned(gpu, slopes))).toEqual(await gradients(slopes()));
    await gpu.checkGuards();
    expect(gpu.memory.live).toBe(0);
  });
});
