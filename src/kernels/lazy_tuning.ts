import { Device } from "../gpu/device.ts";
import { DeviceLostError, ToileError } from "../util/errors.ts";
import { attentionKey } from "./attention_plan.ts";
import { gemmKey } from "./gemm_plan.ts";
import { listen, type Met } from "./met.ts";
import { attentionProblem, gemmProblem, timeCandidates, type Tuning, type TuningProblem } from "./tuning.ts";

const MOST_TOKENS = 4096; // of a trial of attention: what is faster there is faster with more

/**
 * Times the forms of every product and attention that a device meets and has no measured choice for, when it is next
 * flushed: later work runs the fastest. Recordings keep the forms that they were made with. A trial that fails is told
 * of once, and the problem keeps its form.
 * @param keep gets every batch of choices
 */
export function tuneLazily(
  device: Device,
  keep: (plans: Tuning) => Promise<unknown>,
  warn: (line: string) => void,
): void {
  const failed = new Set<string>();
  const met = new Map<string, Met>();
  listen(device, (one) => {
    const key = one.family === "gemm" ? gemmKey(one.problem) : attentionKey(one.problem);
    const isChosen = (device.variants[one.family] ?? device.variants[key]) !== undefined;
    if (!isChosen && !failed.has(key)) met.set(key, one);
  });
  device.onFlushed = async () => {
    const plans: Record<string, string> = {};
    for (const [key, one] of met) {
      met.delete(key);
      const force = (name: string) => new Device(device.gpu, device.facts, { variants: { [one.family]: name } });
      try {
        const { name } = (await timeCandidates(force, trial(device, one)))[0]!;
        device.choose(key, name);
        plans[key] = name;
      } catch (error) {
        if (!(error instanceof ToileError) || error instanceof DeviceLostError) throw error;
        failed.add(key);
        warn(`${key} keeps its form, since timing others failed: ${error.message}`);
      }
    }
    if (Object.keys(plans).length > 0) await keep(plans);
  };
}

function trial({ facts }: Device, met: Met): TuningProblem {
  if (met.family === "attention") return attentionProblem(facts, met.problem, Math.min(met.queries, MOST_TOKENS));
  return gemmProblem(facts, met.problem, met.conv);
}
