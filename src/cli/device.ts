import type { Device } from "../gpu/device.ts";
import { requestDevice } from "../node/device.ts";
import { withoutNativeNoise } from "./stderr.ts";

/** The device that a command works with. */
export const adapterDevice = (): Promise<Device> => withoutNativeNoise(() => requestDevice());
