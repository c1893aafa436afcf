import { expect, test } from "vitest";
import { requestDevice } from "../../src/node/device.ts";
import { outerSum } from "../../src/tensor/ops/outer_sum.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

test.for<[Record<string, unknown>, string]>([
  [{ gem: "plain" }, 'variants: "gem" is not one of gemm, attention, outer, reduce, nor a problem'],
  [{ "gemm f32": "plain" }, 'variants: "gemm f32" is not one of'],
  [{ "attention f32 40x2": "plain" }, 'variants: "attention f32 40x2" is not one of'],
  [{ "outer f32 1": "plain" }, 'variants: "outer f32 1" is not one of'],
  [{ gemm: 5 }, "variants: gemm is 5, the name of a form is needed"],
  [{ gemm: "" }, 'variants: gemm is "", the name of a form is needed'],
])("forms that cannot be meant are refused: %o", async ([variants, message]) => {
  await expect(requestDevice({ backend: "null", variants: variants as never })).rejects.toThrow(
    `requestDevice: ${message}`,
  );
});

test("forms by kernel and by problem are taken, and one that a kernel lacks is found when it runs", async () => {
  const variants = { outer: "bogus", "gemm f32 1x64x320x320x1": "tiled", "attention f16 40": "tiled" };
  const device = await requestDevice({ backend: "null", variants });
  const x = Tensor.zeros(device, [8, 4]);
  expect(() => outerSum(x, x)).toThrow(/^outer: no variant named bogus on .*: there are (subgroup, )?plain$/);
  device.destroy();
});

test("asking for a device leaves the program's environment as it was", async () => {
  const before = { ...process.env };
  delete process.env["XDG_RUNTIME_DIR"]; // what a driver may look for
  const without = { ...process.env };
  try {
    (await requestDevice()).destroy();
    expect({ ...process.env }).toEqual(without);
  } finally {
    if (before["XDG_RUNTIME_DIR"] !== undefined) process.env["XDG_RUNTIME_DIR"] = before["XDG_RUNTIME_DIR"];
  }
});
