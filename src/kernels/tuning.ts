import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import type { View } from "../gpu/kernel.ts";
import { DeviceLostError, ToileError } from "../util/errors.ts";
import { attention } from "./attention.ts";
import { attentionCandidates, attentionKey, planAttention, type AttentionProblem } from "./attention_plan.ts";
import { gemm, type ConvGeometry } from "./gemm.ts";
import { gemmCandidates, gemmKey, planGemm, type GemmProblem } from "./gemm_plan.ts";
import type { Met } from "./met.ts";

const MOST_TOKENS = 4096; // of a trial of attention: what is faster there is faster with more

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

/** Name of what was met in a table of measured choices. */
export const keyOf = (met: Met): string => (met.family === "gemm" ? gemmKey(met.problem) : attentionKey(met.problem));

/** What was met, to be timed. */
export function problemOf(facts: DeviceFacts, met: Met): TuningProblem {
  if (met.family === "gemm") return gemmProblem(facts, met.problem, met.conv);
  return attentionProblem(facts, met.problem, met.queries);
}

/** A product, or a convolution's. */
function gemmProblem(facts: DeviceFacts, problem: GemmProblem, conv: ConvGeometry | undefined): TuningProblem {
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

/** Attention of `wanted` queries, or of `MOST_TOKENS`, over twice as many keys, as a fused block has them. */
function attentionProblem(facts: DeviceFacts, problem: AttentionProblem, wanted: number): TuningProblem {
  const { elem, headDim } = problem;
  const tokens = Math.min(wanted, MOST_TOKENS);
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
  try {
    work(views);
  } finally {
    for (const view of views) device.release(view);
  }
}

export interface Timing {
  readonly name: string;
  readonly milliseconds: number;
}

/**
 * Times each candidate of a problem, the fastest first. One that fails is left out, and `tell` told of it in a line.
 * @param force makes a device that uses one, which is detached again
 * @throws ToileError where no candidate runs
 */
export async function timeCandidates(
  force: (name: string) => Device,
  { key, candidates, record }: TuningProblem,
  tell: (line: string) => void,
): Promise<Timing[]> {
  const timings: Timing[] = [];
  const failures: { readonly name: string; readonly error: ToileError }[] = [];
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
    } catch (error) {
      if (!(error instanceof ToileError) || error instanceof DeviceLostError) throw error;
      failures.push({ name, error });
    } finally {
      forced.detach();
    }
  }
  if (timings.length === 0 && failures[0]) throw failures[0].error;
  for (const { name, error } of failures) tell(`${key}: ${name} is left out: ${error.message}`);
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
