import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import type { View } from "../gpu/kernel.ts";
import { attention } from "./attention.ts";
import { attentionCandidates, attentionKey, planAttention, type AttentionProblem } from "./attention_plan.ts";
import { gemm, type ConvGeometry } from "./gemm.ts";
import { gemmCandidates, gemmKey, planGemm, type GemmProblem } from "./gemm_plan.ts";

/** Names of variants by problem: what a device's `tuned` option takes. */
export type Tuning = Readonly<Record<string, string>>;

/** Something to be timed in several forms. */
export interface TuningProblem {
  readonly key: string;
  readonly candidates: readonly string[];
  /** Floating-point operations, a multiplication and an addition counted as two. */
  readonly operations: number;
  /** Records it once, on buffers that are released with it. */
  readonly record: (device: Device) => void;
}

/** Products, convolutions and attention of Stable Diffusion 1.5's UNet at a batch of two, for latents of `height` × `width`. */
export function unetProblems(facts: DeviceFacts, elem: "f32" | "f16", height: number, width: number): TuningProblem[] {
  const found = new Map<string, TuningProblem>();
  for (const [level, channels] of [320, 640, 1280, 1280].entries()) {
    const [h, w] = [height >> level, width >> level];
    const c4 = channels / 4;
    const gemms: { n4: number; k4: number; taps: number }[] = [
      { n4: c4, k4: c4, taps: 9 },
      { n4: c4, k4: c4, taps: 1 },
      { n4: 8 * c4, k4: c4, taps: 1 },
      { n4: c4, k4: 4 * c4, taps: 1 },
    ];
    for (const sizes of level < 3 ? gemms : gemms.slice(0, 1)) {
      const conv = sizes.taps > 1 ? sameConv(h, w) : undefined;
      const problem = gemmProblem(facts, { elem, batches: 1, m: 2 * h * w, ...sizes }, conv);
      found.set(problem.key, problem);
    }
    const own = attentionProblem(facts, { elem, headDim: channels / 8 }, h * w);
    if (level < 3) found.set(own.key, own);
  }
  return [...found.values()];
}

/** A product, or a convolution's. */
export function gemmProblem(facts: DeviceFacts, problem: GemmProblem, conv: ConvGeometry | undefined): TuningProblem {
  const { elem, batches, m, n4, k4, taps } = problem;
  const vector = elem === "f16" ? 8 : 16;
  const pixels = conv ? conv.input[0] * conv.input[1] : m; // of an image
  const rows = conv ? Math.ceil((batches * m) / conv.outPixels) * pixels : batches * m;
  return {
    key: gemmKey(problem),
    candidates: gemmCandidates(facts, problem),
    operations: 2 * batches * m * n4 * 4 * k4 * 4 * taps,
    record: (device) =>
      withBuffers(
        device,
        [rows * k4, taps * k4 * 4 * n4, batches * m * n4].map((vectors) => vectors * vector),
        ([x, weights, y]) =>
          gemm(device, {
            ...{ elem, batches, m, n4, k4, x: x!, w: weights!, y: y! },
            batchStride: { x: pixels * k4, w: 0, y: conv ? 0 : m * n4 },
            ...(conv && { conv }),
          }),
      ),
  };
}

/** A 3x3 convolution that keeps its images' size. */
const sameConv = (h: number, w: number): ConvGeometry => ({
  kernel: [3, 3],
  input: [h, w],
  outWidth: w,
  outPixels: h * w,
  stride: [1, 1],
  pad: [1, 1],
  firstInRow: 0,
  firstOutRow: 0,
});

/** Attention of `tokens` queries over twice as many keys, as a fused block has them. */
export function attentionProblem(facts: DeviceFacts, problem: AttentionProblem, tokens: number): TuningProblem {
  const { elem, headDim } = problem;
  const bytes = tokens * 8 * headDim * (elem === "f16" ? 2 : 4);
  return {
    key: attentionKey(problem),
    candidates: attentionCandidates(facts, problem),
    operations: 4 * tokens * 2 * tokens * 8 * headDim,
    record: (device) =>
      withBuffers(device, [bytes, 2 * bytes, 2 * bytes, bytes], ([q, k, v, y]) =>
        attention(device, {
          ...{ elem, batches: 1, heads: 8, headDim, queries: tokens, keys: 2 * tokens },
          ...{ q: q!, k: k!, v: v!, y: y!, sharedKeys: false, causal: false, scale: headDim ** -0.5 },
        }),
      ),
  };
}

function withBuffers(device: Device, bytes: readonly number[], work: (views: readonly View[]) => void): void {
  const views = bytes.map((size) => device.alloc(size));
  work(views);
  for (const view of views) device.release(view);
}

export interface Timing {
  readonly name: string;
  readonly milliseconds: number;
}

/** Times each candidate of a problem, the fastest first. `force` makes a device that uses one, which is detached again. */
export async function timeCandidates(
  force: (name: string) => Device,
  { candidates, record }: TuningProblem,
): Promise<Timing[]> {
  const timings: Timing[] = [];
  let best = Infinity;
  for (const name of candidates) {
    const forced = force(name);
    try {
      record(forced);
      await forced.flush(); // compiles
      let milliseconds = await time(forced, record);
      // what is far behind is not worth repeating
      for (let i = 0; i < 2 && milliseconds < 2 * best; i++)
        milliseconds = Math.min(milliseconds, await time(forced, record));
      timings.push({ name, milliseconds });
      best = Math.min(best, milliseconds);
    } finally {
      forced.detach();
    }
  }
  return timings.sort((a, b) => a.milliseconds - b.milliseconds);
}

async function time(device: Device, record: (device: Device) => void): Promise<number> {
  if (device.facts.timestamps) {
    const rows = await device.profile(() => record(device));
    return rows.reduce((sum, row) => sum + row.milliseconds, 0);
  }
  const start = performance.now();
  record(device);
  await device.flush();
  return performance.now() - start;
}

/** Whether a device can run what a line of a table names. */
export function isUsable(facts: DeviceFacts, key: string, name: string): boolean {
  const [family, elem, sizes = ""] = key.split(" ");
  const numbers = sizes.split("x").map(Number);
  if ((elem !== "f32" && elem !== "f16") || numbers.some((n) => !(Number.isInteger(n) && n > 0))) return false;
  try {
    if (family === "attention" && numbers.length === 1) planAttention(facts, { elem, headDim: numbers[0]! }, name);
    else if (family === "gemm" && numbers.length === 5) {
      const [batches, m, n, k, taps] = numbers as [number, number, number, number, number];
      planGemm(facts, { elem, batches, m, n4: n / 4, k4: k / 4, taps }, name);
    } else return false;
    return true;
  } catch {
    return false;
  }
}
