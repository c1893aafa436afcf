import { describe, expect, test } from "vitest";
import { Linear } from "../../src/nn/linear.ts";
import { Module, Parameter } from "../../src/nn/module.ts";
import { LayerNorm } from "../../src/nn/norm.ts";
import { ShapeError, WeightsError } from "../../src/util/errors.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { devices } from "../helpers.ts";

class Branch extends Module {
  readonly net = [new Linear(2, 3), undefined, new Linear(3, 2, { bias: false })];
  readonly single = new Parameter([2], "vector");
  readonly #hidden = new Linear(9, 9);

  get hidden(): Linear {
    return this.#hidden;
  }
}

class Tree extends Module {
  readonly norm = new LayerNorm(2);
  readonly branches = [new Branch(), new Branch()];
  readonly absent: Linear | undefined = undefined;
  readonly config = { inner: { weight: 3 } };
}

describe("Module", () => {
  test("a parameter's key is its path of fields and positions", () => {
    const keys = [...new Tree().parameters()].map(([key]) => key);
    const branch = (i: number) =>
      ["net.0.weight", "net.0.bias", "net.2.weight", "single"].map((key) => `branches.${i}.${key}`);
    expect(keys).toEqual(["norm.weight", "norm.bias", ...branch(0), ...branch(1)]);
  });

  test("keys and paths take a prefix", () => {
    expect([...new Linear(1, 1).parameters("unet.proj")].map(([key]) => key)).toEqual([
      "unet.proj.weight",
      "unet.proj.bias",
    ]);
    expect([...new Branch().modules("a")].map(([path]) => path)).toEqual(["a", "a.net.0", "a.net.2"]);
  });

  test("private fields are not walked", () => {
    const branch = new Branch();
    expect([...branch.modules()].map(([, module]) => module)).not.toContain(branch.hidden);
  });

  test("a weight that was not loaded says so", () => {
    expect(() => new Linear(4, 8).weight.tensor).toThrow(
      new WeightsError("parameter", "the weight of shape [8, 4] was not loaded"),
    );
  });
});

describe.each(await devices())("Parameter on $name", ({ gpu }) => {
  test("refuses another shape", () => {
    gpu.scope(() => {
      const parameter = new Parameter([4, 2], "matrix");
      expect(() => parameter.set(Tensor.zeros(gpu, [2, 4]))).toThrow(ShapeError);
    });
  });

  test("outlives the scope it was set in, and frees what it held", () => {
    const { live } = gpu.memory;
    const layer = new Linear(4, 4, { bias: false });
    gpu.scope(() => layer.weight.set(Tensor.zeros(gpu, [4, 4])));
    gpu.scope(() => layer.weight.set(Tensor.zeros(gpu, [4, 4])));
    expect(layer.weight.loaded).toBe(true);
    expect(gpu.memory.live).toBe(live + 1);
    layer.dispose();
    expect(gpu.memory.live).toBe(live);
    expect(layer.weight.loaded).toBe(false);
  });
});
