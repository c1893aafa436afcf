import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { ACTIVATIONS, activationCode, type Activation } from "./activation.ts";
import { chunks, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import activation from "./lib/activation.wgsl";
import index from "./lib/index.wgsl";
import source from "./unary.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "unary",
  files: { "lib/index.wgsl": index, "lib/activation.wgsl": activation, "unary.wgsl": source },
  spec: { elem: "f32", ACT: 2, WG },
  params: { vectors: "u32" },
  bind: { x: "read", y: "read_write" },
});

export const unaryEntry: KernelEntry = {
  kernel,
  specs: ["f32", "f16"].flatMap((elem) => ACTIVATIONS.map((_, ACT) => ({ elem, ACT }))),
};

/** y = activation(x) over `count` elements of the same storage type. */
export function unary(
  device: Device,
  x: View,
  y: View,
  count: number,
  elem: "f32" | "f16",
  activation: Activation,
): void {
  const bytes = elem === "f16" ? 2 : 4;
  for (const { start, length } of chunks(device.facts.limits, count, bytes)) {
    const vectors = Math.ceil(length / 4);
    device.run(kernel, {
      spec: { elem, ACT: activationCode(activation) },
      params: { vectors },
      bind: { x: slice(x, start * bytes, length * bytes), y: slice(y, start * bytes, length * bytes) },
      groups: Math.ceil(vectors / WG),
    });
  }
}
