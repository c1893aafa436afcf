import { dryDevice } from "../gpu/dry.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { listen, type Met } from "../kernels/met.ts";
import { keyOf, problemOf, type TuningProblem } from "../kernels/tuning.ts";
import { planOn, PUBLISHED, type MemoryQuestion } from "./memory.ts";

/**
 * What both UNets of Stable Diffusion 1.5's size meet in a try-on: every product, convolution and attention once, from
 * a pass over the networks on a device that computes nothing. The encoders and the decoder run once a picture and are
 * left out.
 */
export function unetProblems(facts: DeviceFacts, question: MemoryQuestion): TuningProblem[] {
  const device = dryDevice(facts);
  const met = new Map<string, Met>();
  let isUnet = false;
  listen(device, (one) => void (isUnet && met.set(keyOf(one), one)));
  planOn(device, question, PUBLISHED, (phase) => (isUnet = ["garment", "project", "denoise"].includes(phase)));
  return [...met.values()].map((one) => problemOf(facts, one));
}
