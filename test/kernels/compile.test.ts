import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { specialise } from "../../src/gpu/wgsl.ts";
import { KERNELS } from "../../src/kernels/registry.ts";
import { requestDevice } from "../../src/node/device.ts";

const textOf = (kernel: Kernel) => kernel.files.map((file) => file.text).join("\n");

/** Members of `struct Params` as the WGSL declares them. */
function paramsIn(text: string): [name: string, type: string][] {
  const body = /struct Params \{([^}]*)\}/.exec(text)?.[1] ?? "";
  const bare = body.replace(/\/\/.*$/gm, "");
  return [...bare.matchAll(/(\w+): (\w+)/g)].map(([, name, type]) => [name!, type!]);
}

/** Storage bindings as the WGSL declares them, by number. */
function bindingsIn(text: string): [name: string, access: string][] {
  const found = [...text.matchAll(/@group\(0\) @binding\((\d+)\) var<storage, (\w+)> (\w+):/g)];
  return found.sort((a, b) => Number(a[1]) - Number(b[1])).map(([, , access, name]) => [name!, access!]);
}

describe.each(KERNELS.map(({ kernel, specs }) => ({ name: kernel.name, kernel, specs })))(
  "$name",
  ({ kernel, specs }) => {
    const text = textOf(kernel);

    test("struct Params in the WGSL is the declaration's", () => {
      expect(paramsIn(text)).toEqual([["groups", "u32"], ...Object.entries(kernel.params)]);
      expect(Object.keys(kernel.params).length).toBeLessThanOrEqual(31); // a uniform slot holds 32 scalars
    });

    test("bindings in the WGSL are the declaration's, numbered from 1", () => {
      expect(bindingsIn(text)).toEqual(Object.entries(kernel.bind));
      const numbers = [...text.matchAll(/@binding\((\d+)\)/g)].map(([, n]) => Number(n)).sort((a, b) => a - b);
      expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i));
    });

    test("the declared spec is the WGSL's, default by default", () => {
      const files = kernel.files.map((file) => file.text);
      expect(specialise(kernel.name, files, kernel.spec).split("\n").length).toBe(text.split("\n").length + 1);
      const block = /^\/\/!spec\n([\s\S]*?)^\/\/!end$/m.exec(text)?.[1] ?? "";
      const names = [...block.matchAll(/^(?:const|alias) (\w+)/gm)].map(([, name]) => name!);
      expect(Object.keys(kernel.spec).sort()).toEqual(names.sort());
    });

    test("one entry for each variant", () => {
      const keys = specs.map((spec) => JSON.stringify(Object.entries({ ...kernel.spec, ...spec }).sort()));
      expect(new Set(keys).size).toBe(keys.length);
    });
  },
);

// The null backend compiles WGSL for any hardware and runs nothing, so it takes variants that this machine cannot run.
describe("on Dawn's null backend", () => {
  let device: Device;
  beforeAll(async () => {
    device = await requestDevice({ backend: "null" });
  });
  afterAll(() => device.destroy());

  test("it has every feature that an entry needs", () => {
    const needed = new Set(KERNELS.flatMap(({ needs = [] }) => needs));
    expect([...needed].filter((name) => !device.facts.features.includes(name))).toEqual([]);
    expect(device.facts.f16).toBe(true);
  });

  // the null backend offers 16 KiB of workgroup memory; the code of what needs more has been compiled when it says so
  const tooLarge = (message: string) =>
    Number(/use of workgroup storage \((\d+) bytes\)/.exec(message)?.[1] ?? Infinity) <= 48 * 1024;

  test.each(KERNELS.map(({ kernel, specs }) => ({ name: kernel.name, count: specs.length, kernel, specs })))(
    "$name compiles in all $count variants",
    async ({ kernel, specs }) => {
      const failures: string[] = [];
      for (const spec of specs)
        await device.compile(kernel, spec).catch((error: Error) => failures.push(error.message));
      expect(failures.filter((message) => !tooLarge(message))).toEqual([]);
    },
  );
});
