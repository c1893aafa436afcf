import { describe, expect, test } from "vitest";
import { Device } from "../../src/gpu/device.ts";
import type { DeviceFacts } from "../../src/gpu/facts.ts";
import { requestDevice } from "../../src/node/device.ts";
import { relErr } from "../helpers.ts";
import { gradientsOf, inputsFor, ODD } from "./cases.ts";
import { HALF_LIMIT } from "./harness.ts";

// What a device's facts choose, tried on whatever device there is: the plans of a real GPU, and of one without
// subgroups, change the order of sums and nothing else. The plan of the device itself is held to oracles elsewhere.

const FACTS: Record<string, Partial<DeviceFacts>> = {
  "hardware with subgroups": { isSoftware: false },
  "hardware without subgroups": { isSoftware: false, subgroupSize: undefined },
};

const own = await requestDevice({ guard: 256 });
const elems = (["f32", "f16"] as const).filter((elem) => elem === "f32" || own.facts.f16);

describe.each(elems)("in %s", (elem) => {
  describe.each(Object.keys(FACTS))("planned as for %s", (name) => {
    const other = new Device(own.gpu, { ...own.facts, ...FACTS[name] }, { guard: 256 });

    test.for(Object.keys(ODD))("%s", async (op) => {
      const read = async (gpu: Device) => {
        const y = gpu.scope(() => ODD[op]!(inputsFor(gpu, elem)));
        return y.data().finally(() => y.dispose());
      };
      const [expected, actual] = [await read(own), await read(other)];
      await other.checkGuards();
      // float32: twice the limit of one order against float64
      expect(relErr(actual, expected)).toBeLessThan(elem === "f32" ? 4e-6 : HALF_LIMIT);
    });

    test.for(Object.keys(ODD))("gradients of %s", async (op) => {
      const read = async (gpu: Device) => {
        const found = gradientsOf(gpu, elem, ODD[op]!);
        const values = await Promise.all(found.map((g) => g.data()));
        for (const g of found) g.dispose();
        return values;
      };
      const [expected, actual] = [await read(own), await read(other)];
      await other.checkGuards();
      // a gradient is two such sums one after the other
      for (const [i, values] of expected.entries())
        expect(relErr(actual[i]!, values)).toBeLessThan(elem === "f32" ? 8e-6 : 2 * HALF_LIMIT);
    });
  });
});
