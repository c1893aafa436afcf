import type { Device } from "../gpu/device.ts";
import { requestDevice } from "../node/device.ts";
import { readTuning } from "../node/tuning.ts";
import { say, withoutNativeNoise } from "./stderr.ts";

/** The device that a command works with. */
export const adapterDevice = (): Promise<Device> =>
  withoutNativeNoise(() => requestDevice({ tuned: (facts) => readTuning(facts, (line) => say(`toile: ${line}`)) }));
