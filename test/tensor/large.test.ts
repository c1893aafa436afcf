import { afterAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import type { View } from "../../src/gpu/kernel.ts";
import { requestDevice } from "../../src/node/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { uploadWeight } from "../../src/tensor/upload.ts";
import { decodeF16, encodeF16 } from "../../src/util/float16.ts";
import { normal, relErr } from "../helpers.ts";
import { gradientsOf, inputsFor } from "./cases.ts";
import { BINDING, LARGE } from "./large_cases.ts";

// Tensors several times larger than a binding, and more workgroups than one dimension takes, give the same bits as a
// device that holds them whole.

const whole = await requestDevice();
const small = await requestDevice({
  guard: 256,
  fakeLimits: {
    maxStorageBufferBindingSize: BINDING,
    minStorageBufferOffsetAlignment: 256,
    maxComputeWorkgroupsPerDimension: 20,
  },
});
afterAll(() => {
  whole.destroy();
  small.destroy();
});

/** Bytes of the largest operand or result that a call hands to kernels. */
function largestView(gpu: Device, call: () => void): number {
  let largest = 0;
  const run = gpu.run;
  gpu.run = (kernel, dispatch) => {
    largest = Math.max(largest, ...Object.values<View>(dispatch.bind).map((view) => view.bytes));
    run.call(gpu, kernel, dispatch);
  };
  const copy = gpu.copy;
  gpu.copy = (from, to) => {
    largest = Math.max(largest, from.bytes);
    copy.call(gpu, from, to);
  };
  gpu.scope(call);
  [gpu.run, gpu.copy] = [run, copy];
  return largest;
}

describe.each((["f32", "f16"] as const).filter((elem) => elem === "f32" || whole.facts.f16))(
  "beyond a device's limits, %s",
  (elem) => {
    test.for(Object.keys(LARGE))("%s", async (name) => {
      const read = async (gpu: Device) => {
        const y = gpu.scope(() => LARGE[name]!(inputsFor(gpu, elem)));
        return y.data().finally(() => y.dispose());
      };
      expect(largestView(whole, () => void LARGE[name]!(inputsFor(whole, elem)))).toBeGreaterThan(1.5 * BINDING);
      const [expected, actual] = [await read(whole), await read(small)];
      await small.checkGuards();
      expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0);
      expect(actual).toEqual(expected);
      expect([whole.memory.live, small.memory.live]).toEqual([0, 0]);
    });

    // The gradient of what an embedding looked up is bound whole, and so are the rows that one row was enlarged to: what
    // of these is too large here is not in practice.
    const graded = Object.keys(LARGE).filter(
      (name) => !/^embedding.+|^(nearest|bilinear) resizing(?!.*narrow)/.test(name),
    );
    test.for(graded)("gradients of %s", async (name) => {
      const read = async (gpu: Device) => {
        const found = gradientsOf(gpu, elem, LARGE[name]!);
        const values = await Promise.all(found.map((g) => g.data()));
        for (const g of found) g.dispose();
        return values;
      };
      const [expected, actual] = [await read(whole), await read(small)];
      await small.checkGuards();
      // sums over bands have another order
      const limit = elem === "f16" ? 1e-3 : 2e-5;
      for (const [i, values] of expected.entries()) expect(relErr(actual[i]!, values)).toBeLessThan(limit);
      expect([whole.memory.live, small.memory.live]).toEqual([0, 0]);
    });
  },
);

test("a table's upload", async () => {
  const values = normal(1, 900 * 12);
  const options = { source: "F32", shape: [900, 12], kind: "table" } as const;
  for (const dtype of small.facts.f16 ? (["f32", "f16"] as const) : (["f32"] as const)) {
    const y = uploadWeight(small, new Uint8Array(values.buffer), { ...options, dtype });
    expect(await y.data()).toEqual(dtype === "f32" ? values : decodeF16(encodeF16(values)));
    y.dispose();
  }
});

test("counting NaNs beyond a binding", async () => {
  const values = normal(1, 22_345);
  for (const at of [0, 4096, 8191, 22_344]) values[at] = NaN;
  const x = Tensor.from(small, values, [22_345]);
  expect(await ops.nonFinite(x)).toBe(4);
  x.dispose();
});

test("what cannot be split names the binding and both sizes", () => {
  const { tensor } = inputsFor(small, "f32");
  const [x, w] = [tensor(1, [1, 4, 4, 64]), tensor(2, [128, 64, 1, 1])];
  expect(() => ops.conv2d(x, w, {})).toThrow(/needs a binding of \d+ bytes, the device binds at most 16384/);
  x.dispose();
  w.dispose();
});

test("more than 65,535 workgroups, really", async () => {
  const count = 65_535 * 64 * 4 + 1_001; // one workgroup of unary takes 256 elements
  const x = Tensor.zeros(whole, [count]);
  const y = whole.scope(() => ops.exp(x));
  const tail = whole.scope(() => ops.slice(y, 0, count - 1_001, count));
  expect(new Set(await tail.data())).toEqual(new Set([1]));
  for (const t of [x, y, tail]) t.dispose();
});
