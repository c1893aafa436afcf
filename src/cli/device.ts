import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { requestDevice } from "../node/device.ts";
import { readTuning } from "../node/tuning.ts";
import { say, withoutNativeNoise } from "./stderr.ts";

/** The device that a command works with. */
export async function adapterDevice(): Promise<Device> {
  const lines: string[] = []; // said afterwards: nothing is heard while the drivers are kept quiet
  const tuned = (facts: DeviceFacts) => readTuning(facts, (line) => lines.push(line));
  const device = await withoutNativeNoise(() => requestDevice({ tuned }));
  for (const line of lines) say(`toile: ${line}`);
  return device;
}
