import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import source from "./adamw.wgsl";
import { chunks, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "adamw",
  files: { "lib/index.wgsl": index, "adamw.wgsl": source },
  spec: { WG },
  params: {
    vectors: "u32",
    gradient_scale: "f32",
    decay: "f32",
    beta1_rest: "f32",
    beta2: "f32",
    beta2_rest: "f32",
    step_size: "f32",
    root_correction: "f32",
    eps: "f32",
  },
  bind: {
    gradient: "read",
    parameter: "read_write",
    mean: "read_write",
    square: "read_write",
  },
});

export const adamwEntry: KernelEntry = {
  kernel,
  specs: [{}],
};

/** The factors of one step. */
export interface AdamWStep {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Counted from 1. */
  readonly step: number;
  readonly gradientScale: number;
}

/** What a step reads and writes, all f32. */
export interface AdamWViews {
  readonly gradient: View;
  readonly parameter: View;
  readonly mean: View;
  readonly square: View;
}

/** Records one step over `count` elements. */
export function adamw(device: Device, views: AdamWViews, count: number, factors: AdamWStep): void {
  const { lr, beta1, beta2, eps, weightDecay, step, gradientScale } = factors;
  const { gradient, parameter, mean, square } = views;
  for (const { start, length } of chunks(device.facts.limits, count, 4)) {
    const f32 = (view: View) => slice(view, start * 4, length * 4);
    const vectors = Math.ceil(length / 4);
    device.run(kernel, {
      spec: {},
      params: {
        vectors,
        gradient_scale: gradientScale,
        decay: 1 - lr * weightDecay,
        beta1_rest: 1 - beta1,
        beta2,
        beta2_rest: 1 - beta2,
        step_size: lr / (1 - beta1 ** step),
        root_correction: Math.sqrt(1 - beta2 ** step),
        eps,
      },
      bind: { gradient: f32(gradient), parameter: f32(parameter), mean: f32(mean), square: f32(square) },
      groups: Math.ceil(vectors / WG),
    });
  }
}
