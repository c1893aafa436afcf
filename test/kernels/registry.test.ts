import { readFileSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { Device } from "../../src/gpu/device.ts";
import type { DeviceFacts } from "../../src/gpu/facts.ts";
import { variantName, type Kernel } from "../../src/gpu/kernel.ts";
import type { Spec } from "../../src/gpu/wgsl.ts";
import { KERNELS } from "../../src/kernels/registry.ts";
import { requestDevice } from "../../src/node/device.ts";
import { gradientsOf, inputsFor, ODD } from "../tensor/cases.ts";

// The registry says what can be compiled; the tests that compile everything are worth as much as it is complete.

test("every shader of src/kernels is part of a registered kernel", () => {
  const texts = KERNELS.flatMap(({ kernel }) => kernel.files.map((file) => file.text));
  const shaders = readdirSync("src/kernels", { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".wgsl"));
  expect(shaders.filter((file) => !texts.includes(readFileSync(`src/kernels/${file}`, "utf8")))).toEqual([]);
});

test("names are unique, and what uses subgroups says so", () => {
  const names = KERNELS.map(({ kernel }) => kernel.name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  for (const { kernel, needs = [] } of KERNELS) {
    const uses = kernel.files.some(({ text }) => /\bsubgroup(Add|Max|Min|Broadcast|Shuffle|Matrix)/.test(text));
    expect([kernel.name, needs.includes("subgroups")]).toEqual([kernel.name, uses]);
  }
});

/** The spec in full; a head's width is any multiple of four, so the registry lists examples of it only. */
const full = (kernel: Kernel, spec: Spec = {}) => {
  const { D: _, ...rest } = { ...kernel.spec, ...spec };
  return variantName(kernel, rest);
};
const registered = new Set(KERNELS.flatMap(({ kernel, specs }) => specs.map((spec) => full(kernel, spec))));

// The null backend runs nothing, so the plans of any device can be recorded on it.
const f16 = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
const f32 = { componentType: "f32", resultComponentType: "f32", M: 8, N: 8, K: 8 };
const pinned = { subgroupSize: 32, pinned: true, isSoftware: false };
const FACTS: Record<string, Partial<DeviceFacts>> = {
  ...Object.fromEntries(
    [undefined, 4, 8, 16, 32, 64, 128].flatMap((subgroupSize) =>
      [true, false].map((isSoftware) => [
        `${subgroupSize ?? "no"} lanes, ${isSoftware ? "software" : "hardware"}`,
        { subgroupSize, isSoftware, pinned: false, subgroupMatrix: [] },
      ]),
    ),
  ),
  "32 lanes out of several": { ...pinned, subgroupMatrix: [] },
  "matrix units": { ...pinned, subgroupMatrix: [f32, f16], matrixSyntax: "layout" },
  "matrix units, older syntax": { ...pinned, subgroupMatrix: [f16], matrixSyntax: "flag" },
};

test.for(Object.keys(FACTS))("what ops use on a device with %s is registered", async (name) => {
  const device = await requestDevice({ backend: "null" });
  const gpu = new Device(device.gpu, { ...device.facts, ...FACTS[name] });
  const used = new Set<string>();
  const run = gpu.run.bind(gpu);
  gpu.run = (kernel, dispatch) => {
    used.add(full(kernel as Kernel, dispatch.spec));
    run(kernel, dispatch);
  };
  for (const elem of ["f32", "f16"] as const)
    for (const op of Object.values(ODD)) {
      gpu.scope(() => void op(inputsFor(gpu, elem)));
      gpu.scope(() => void gradientsOf(gpu, elem, op));
    }
  await gpu.flush();
  device.destroy();
  expect(used.size).toBeGreaterThan(20);
  expect([...used].filter((variant) => !registered.has(variant))).toEqual([]);
});
