import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { ACTIVATIONS, activationCode, type Activation } from "./activation.ts";
import { chunks, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import activation from "./lib/activation.wgsl";
import index from "./lib/index.wgsl";
import slope from "./lib/slope.wgsl";
import source from "./unary_backward.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "unary_backward",
  files: {
    "lib/index.wgsl": index,
    "lib/activation.wgsl": activation,
    "lib/slope.wgsl": slope,
    "unary_backward.wgsl": source,
  },
  spec: { elem: "f32", ACT: 2, CLAMP: false, WG },
  params: { vectors: "u32", low: "f32", high: "f32" },
  bind: { x: "read", g: "read", gx: "read_write" },
});

export const unaryBackwardEntry: KernelEntry = {
  kernel,
  specs: ["f32", "f16"].flatMap((elem) => [
    ...ACTIVATIONS.map((_, ACT) => ({ elem, ACT })),
    { elem, ACT: 0, CLAMP: true },
  ]),
};

/** gx = g · slope of the activation at x, or of clamping to [low, high], over `count` elements. */
export function unaryBackward(
  device: Device,
  { x, g, gx, count, elem }: { x: View; g: View; gx: View; count: number; elem: "f32" | "f16" },
  by: Activation | readonly [low: number, high: number],
): void {
  const bytes = elem === "f16" ? 2 : 4;
  const clamps = typeof by !== "string";
  const [low, high] = clamps ? by : [0, 0];
  for (const { start, length } of chunks(device.facts.limits, count, bytes)) {
    const part = (view: View) => slice(view, start * bytes, length * bytes);
    const vectors = Math.ceil(length / 4);
    device.run(kernel, {
      spec: { elem, ACT: clamps ? 0 : activationCode(by), CLAMP: clamps },
      params: { vectors, low, high },
      bind: { x: part(x), g: part(g), gx: part(gx) },
      groups: Math.ceil(vectors / WG),
    });
  }
}
