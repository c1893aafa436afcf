import { Device } from "../gpu/device.ts";
import { DeviceLostError, ToileError } from "../util/errors.ts";
import { listen, type Met } from "./met.ts";
import { keyOf, problemOf, timeCandidates, type Tuning } from "./tuning.ts";

/**
 * Times the forms of every product and attention that a device meets and has no measured choice for, when it is next
 * flushed: later work runs the fastest. Recordings keep the forms that they were made with. A form that fails is told
 * of and left out; a problem of which all fail keeps its form.
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
    const key = keyOf(one);
    const isChosen = (device.variants[one.family] ?? device.variants[key]) !== undefined;
    if (!isChosen && !failed.has(key)) met.set(key, one);
  });
  device.onFlushed = async () => {
    const plans: Record<string, string> = {};
    for (const [key, one] of met) {
      met.delete(key);
      const force = (name: string) => new Device(device.gpu, device.facts, { variants: { [one.family]: name } });
      try {
        const { name } = (await timeCandidates(force, problemOf(device.facts, one), warn))[0]!;
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
