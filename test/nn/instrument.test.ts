import { describe, expect, test } from "vitest";
import { chain } from "../../src/nn/chain.ts";
import { instrument } from "../../src/nn/instrument.ts";
import { Linear } from "../../src/nn/linear.ts";
import { Module } from "../../src/nn/module.ts";
import { nonFinite } from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { devices } from "../helpers.ts";

class Stack extends Module {
  readonly layers = [new Linear(4, 4), new Linear(4, 4), new Linear(4, 4)];

  forward(x: Tensor): { last: Tensor } {
    return {
      last: chain(
        x,
        this.layers.map((layer) => (h: Tensor) => layer.forward(h)),
      ),
    };
  }
}

class Model extends Module {
  readonly stack = new Stack();

  forward(x: Tensor): Tensor {
    return this.stack.forward(x).last;
  }
}

describe.each(await devices())("instrument on $name", ({ gpu }) => {
  const model = new Model();
  for (const [key, parameter] of model.parameters()) {
    const values = new Float32Array(parameter.shape.reduce((a, b) => a * b)).fill(0.5);
    if (key === "stack.layers.1.bias") values[2] = NaN;
    parameter.set(Tensor.from(gpu, values, parameter.shape));
  }
  const x = Tensor.from(gpu, [1, 2, 3, 4], [1, 4]);

  test("names the first module that produced a NaN", async () => {
    const outputs: [string, Tensor][] = [];
    const undo = instrument(model, (path, output) => outputs.push([path, output.keep()]));
    model.forward(x);
    undo();
    expect(outputs.map(([path]) => path)).toEqual(["stack.layers.0", "stack.layers.1", "stack.layers.2", "stack", ""]);
    const counts = await Promise.all(outputs.map(([, output]) => nonFinite(output)));
    expect(outputs[counts.findIndex((count) => count > 0)]![0]).toBe("stack.layers.1");
    for (const [, output] of outputs) output.dispose();
  });

  test("leaves nothing behind when undone", () => {
    const before = [...model.parameters()].length;
    const undo = instrument(model, () => expect.unreachable());
    expect([...model.parameters()]).toHaveLength(before);
    undo();
    expect(Object.hasOwn(model, "forward")).toBe(false);
    gpu.scope(() => model.forward(x));
  });
});
