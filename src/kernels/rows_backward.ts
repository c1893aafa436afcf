import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bandsOf, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import layerNormSource from "./layer_norm_backward.wgsl";
import rowStatistics from "./lib/row_statistics.wgsl";
import { planReduce, reducers, reduceSpecs } from "./rows.ts";
import softmaxSource from "./softmax_backward.wgsl";

// Backward passes of the kernels in which one workgroup owns a row.

const VARIANTS = ["subgroup", "workgroup"] as const;

const softmaxes = VARIANTS.map((variant) =>
  defineKernel({
    name: `softmax_backward_${variant}`,
    files: { ...reducers[variant], "softmax_backward.wgsl": softmaxSource },
    spec: { elem: "f32", WG: 8 },
    params: { vectors: "u32", scale: "f32" },
    bind: { y: "read", g: "read", gx: "read_write" },
  }),
);

const layerNorms = VARIANTS.map((variant) =>
  defineKernel({
    name: `layer_norm_backward_${variant}`,
    files: {
      ...reducers[variant],
      "lib/row_statistics.wgsl": rowStatistics,
      "layer_norm_backward.wgsl": layerNormSource,
    },
    spec: { elem: "f32", WG: 8 },
    params: { vectors: "u32", eps: "f32" },
    bind: { x: "read", g: "read", weight: "read", gx: "read_write", gz: "read_write" },
  }),
);

export const rowBackwardEntries: readonly KernelEntry[] = [softmaxes, layerNorms].flatMap((kernels) =>
  kernels.map((kernel, i) => ({ kernel, specs: reduceSpecs(i), ...(i === 0 && { needs: ["subgroups"] }) })),
);

type Elem = "f32" | "f16";

/** gx = scale · y (g - Σ g y) over rows of y = softmax(x); `length`, a multiple of 4, is that of the padded row. */
export function softmaxBackward(
  device: Device,
  call: { y: View; g: View; gx: View; rows: number; length: number; scale?: number; elem: Elem },
): void {
  const { variant, WG } = planReduce(device.facts, device.variants["reduce"]);
  const bytes = call.length * (call.elem === "f16" ? 2 : 4);
  for (const { start, length: rows } of bandsOf(device.facts.limits, call.rows, [bytes])) {
    const of = (view: View) => slice(view, start * bytes, rows * bytes);
    device.run(softmaxes[variant === "subgroup" ? 0 : 1]!, {
      spec: { elem: call.elem, WG },
      params: { vectors: call.length / 4, scale: call.scale ?? 1 },
      bind: { y: of(call.y), g: of(call.g), gx: of(call.gx) },
      groups: rows,
    });
  }
}

export interface LayerNormBackwardCall {
  readonly x: View;
  readonly g: View;
  readonly weight: View;
  readonly gx: View;
  /** f32: g times the normalised x. */
  readonly gz: View;
  readonly rows: number;
  /** A multiple of 4. */
  readonly channels: number;
  readonly eps: number;
  readonly elem: Elem;
}

/** LayerNorm's gradient in x, row by row, and what its weight's gradient is the sum of. */
export function layerNormBackward(device: Device, call: LayerNormBackwardCall): void {
  const { variant, WG } = planReduce(device.facts, device.variants["reduce"]);
  const [row, wide] = [call.channels * (call.elem === "f16" ? 2 : 4), call.channels * 4];
  for (const { start, length } of bandsOf(device.facts.limits, call.rows, [row, wide])) {
    const of = (view: View) => slice(view, start * row, length * row);
    device.run(layerNorms[variant === "subgroup" ? 0 : 1]!, {
      spec: { elem: call.elem, WG },
      params: { vectors: call.channels / 4, eps: call.eps },
      bind: {
        x: of(call.x),
        g: of(call.g),
        weight: call.weight,
        gx: of(call.gx),
        gz: slice(call.gz, start * wide, length * wide),
      },
      groups: length,
    });
  }
}
