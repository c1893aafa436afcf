import { requestDeviceFrom, type RequestOptions } from "../gpu/request.ts";
import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { tuneLazily } from "../kernels/lazy_tuning.ts";
import type { Tuning } from "../kernels/tuning.ts";
import { adapterAdvice } from "./adapter.ts";
import { directory } from "./files.ts";
import { readTuning, writeTuning } from "./tuning.ts";
import { DeviceError, InputError } from "../util/errors.ts";
import type { Host } from "../util/host.ts";

/** How Dawn's device is chosen. */
export interface NodeDeviceOptions extends RequestOptions {
  /** Dawn's backend: `null` compiles every shader and runs none. */
  readonly backend?: "vulkan" | "metal" | "d3d12" | "null";
  /**
   * `lazy` reads the device's table of measured kernels, times those that are met and not in it, whenever the device is
   * flushed, and keeps them there (`toile tune` measures a whole UNet at once). Without it there is no table.
   */
  readonly tune?: "lazy";
}

// Dawn's instance must outlive its devices: a collected one takes the process down.
const instances: GPU[] = [];

const host = {
  openFolder: directory,
  openOnnx: async (bytes: Uint8Array, name: string) => (await import("./onnx.ts")).openOnnx(bytes, name),
} satisfies Host;

const SPIN = 2; // milliseconds: shorter work is waited for as Dawn does
const NAP = 1;

/**
 * Dawn's binding for Node asks for news in every turn of the event loop, which keeps a processor busy and, on a
 * software adapter, from the shaders. A turn that sleeps for a moment leaves it to them; a millisecond is the most by
 * which anything else in the process is late.
 */
class Naps {
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  #busy = 0;
  #since = 0;
  #isTurning = false;

  readonly during = (done: Promise<unknown>): void => {
    const leave = () => void this.#busy--;
    done.then(leave, leave);
    if (this.#busy++ > 0) return;
    this.#since = performance.now();
    if (!this.#isTurning) this.#turn();
  };

  readonly #turn = (): void => {
    this.#isTurning = this.#busy > 0;
    if (!this.#isTurning) return;
    if (performance.now() - this.#since > SPIN) Atomics.wait(this.#cell, 0, 0, NAP);
    setImmediate(this.#turn);
  };
}

const FEATURES = "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia";

/**
 * A device of Dawn (the npm package `webgpu`).
 * @throws DeviceError when the package or an adapter is missing.
 */
export async function requestDevice(options: NodeDeviceOptions = {}): Promise<Device> {
  const { tune, tuned, ...others } = options;
  if (tune !== undefined && tune !== "lazy")
    throw new InputError("requestDevice", `tune "${String(tune)}" is not lazy`);
  const { create } = await import("webgpu").catch((error: NodeJS.ErrnoException) => {
    const missing = error.code === "ERR_MODULE_NOT_FOUND" ? "is not installed: npm install webgpu" : undefined;
    throw new DeviceError(
      "requestDevice",
      `the optional package webgpu ${missing ?? `does not load here: ${error.message.split("\n")[0]}`}`,
    );
  });
  const gpu = create([FEATURES, ...(options.backend ? [`backend=${options.backend}`] : [])]);
  instances.push(gpu);
  const warn = (line: string) => void process.stderr.write(`toile: ${line}\n`); // a process's warning would be two
  const table = (facts: DeviceFacts) => ({ ...readTuning(facts, warn), ...tuned?.(facts) });
  const device = await requestDeviceFrom(gpu, {
    host: { ...host, whileBusy: new Naps().during },
    advice: adapterAdvice(),
    ...others,
    ...(tune ? { tuned: table } : tuned && { tuned }),
  });
  // a table that cannot be kept costs the next process its measurements, and this one nothing
  const keep = (plans: Tuning) => writeTuning(device.facts, plans).catch((error: Error) => warn(error.message));
  if (tune) tuneLazily(device, keep, warn);
  return device;
}
