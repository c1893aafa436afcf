import { afterAll, expect, test } from "vitest";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { requestDevice } from "../../src/node/device.ts";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

// What TypeScript refuses and JavaScript passes: one line that names the op, and nothing is left on the device.

const gpu = await requestDevice();
afterAll(() => gpu.destroy());

const none = undefined as never;
const x = Tensor.zeros(gpu, [2, 4]).keep();

test.for<[string, RegExp, () => unknown]>([
  ["add", /^add: b is undefined, a tensor is needed$/, () => ops.add(x, none)],
  ["mul", /^mul: a is undefined, a tensor is needed$/, () => ops.mul(none, x)],
  ["softmax", /^softmax: x is undefined, a tensor is needed$/, () => ops.softmax(none)],
  ["linear", /^linear: .* is undefined, a tensor is needed$/, () => ops.linear(x, none)],
  ["silu", /^silu: x is string, a tensor is needed$/, () => ops.silu("x" as never)],
  ["from", /^Tensor\.from: element 1 is a string, not a number$/, () => Tensor.from(gpu, [1, "2"] as never, [2])],
])("%s", ([, says, act]) => {
  const before = gpu.memory.bytes;
  expect(act).toThrow(says);
  expect(gpu.memory.bytes).toBe(before);
});

test("a path where a source is needed", () =>
  expect(openSafetensors("unet.safetensors" as never)).rejects.toThrow(
    /^openSafetensors: a ByteSource is needed, not a string/,
  ));
