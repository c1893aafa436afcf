import { requestDeviceFrom, type RequestOptions } from "../gpu/request.ts";
import type { Device } from "../gpu/device.ts";
import { adapterAdvice } from "./adapter.ts";
import { directory } from "./files.ts";
import { DeviceError } from "../util/errors.ts";
import type { Host } from "../util/host.ts";

/** How Dawn's device is chosen. */
export interface NodeDeviceOptions extends RequestOptions {
  /** Dawn's backend: `null` compiles every shader and runs none. */
  readonly backend?: "vulkan" | "metal" | "d3d12" | "null";
}

// Dawn's instance must outlive its devices: a collected one takes the process down.
const instances: GPU[] = [];

const host: Host = {
  openFolder: directory,
  openOnnx: async (bytes, name) => (await import("./onnx.ts")).openOnnx(bytes, name),
};

const FEATURES = "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia";

/**
 * A device of Dawn (the npm package `webgpu`).
 * @throws DeviceError when the package or an adapter is missing.
 */
export async function requestDevice(options: NodeDeviceOptions = {}): Promise<Device> {
  const { create } = await import("webgpu").catch((error: NodeJS.ErrnoException) => {
    const missing = error.code === "ERR_MODULE_NOT_FOUND" ? "is not installed: npm install webgpu" : undefined;
    throw new DeviceError(
      "requestDevice",
      `the optional package webgpu ${missing ?? `does not load here: ${error.message.split("\n")[0]}`}`,
    );
  });
  const gpu = create([FEATURES, ...(options.backend ? [`backend=${options.backend}`] : [])]);
  instances.push(gpu);
  return requestDeviceFrom(gpu, { host, advice: adapterAdvice(), ...options });
}
