import { DeviceError, InputError } from "../util/errors.ts";
import { Device, type DeviceOptions } from "./device.ts";
import { LIMIT_NAMES, WANTED_FEATURES, readFacts, type DeviceFacts, type DeviceLimits } from "./facts.ts";
import { probeMatrixSyntax } from "./matrix_syntax.ts";

/** How a device is chosen. The defaults are for use; the rest is for tests and comparisons. */
export interface RequestOptions extends DeviceOptions {
  /** As WebGPU's. Default high-performance. */
  readonly powerPreference?: GPUPowerPreference;
  /** Features not to ask for, for tests and comparisons. */
  readonly without?: readonly string[];
  /** Smaller limits than the device's, so that splitting can be tested on any device. */
  readonly fakeLimits?: Partial<DeviceLimits>;
  /** Variants measured on this device, by problem; those in `variants` come first. */
  readonly tuned?: (facts: DeviceFacts) => Readonly<Record<string, string>>;
  /** What to do where there is no adapter, for the error. */
  readonly advice?: string;
}

const firstLine = (error: Error) => error.message.split("\n")[0]!;

const FAMILIES = ["gemm", "attention", "outer", "reduce"]; // of kernels with several forms

const PROBLEM = /^(gemm (f32|f16) \d+(x\d+){4}|attention (f32|f16) \d+)$/; // as gemmKey and attentionKey name one

/** A form that no kernel has is found when the kernel is planned; a kernel that nobody has would never be. */
function checkVariants(variants: Readonly<Record<string, unknown>>): void {
  for (const [key, form] of Object.entries(variants)) {
    if (!FAMILIES.includes(key) && !PROBLEM.test(key))
      throw new InputError("requestDevice", `variants: "${key}" is not one of ${FAMILIES.join(", ")}, nor a problem`);
    if (typeof form !== "string" || form === "")
      throw new InputError(
        "requestDevice",
        `variants: ${key} is ${JSON.stringify(form)}, the name of a form is needed`,
      );
  }
}

/** A device from `gpu` (a browser's `navigator.gpu`, or Dawn's), with the adapter's largest buffer limits. @throws DeviceError */
export async function requestDeviceFrom(gpu: GPU | undefined, options: RequestOptions = {}): Promise<Device> {
  if (!gpu) throw new DeviceError("requestDevice", "this environment has no WebGPU (navigator.gpu)");
  const { powerPreference = "high-performance", without = [], fakeLimits = {} } = options;
  checkVariants(options.variants ?? {});
  const adapter = await gpu.requestAdapter({ powerPreference }).catch((error: Error) => {
    throw new DeviceError("requestDevice", `no WebGPU adapter: ${firstLine(error)}`, { cause: error });
  });
  if (!adapter)
    throw new DeviceError(
      "requestDevice",
      `no WebGPU adapter: ${options.advice ?? "this browser, or its GPU, offers none"}`,
    );
  const features = WANTED_FEATURES.filter((name) => adapter.features.has(name) && !without.includes(name));
  const requiredLimits: Record<string, number> = {
    maxStorageBuffersPerShaderStage: Math.min(16, adapter.limits.maxStorageBuffersPerShaderStage),
  };
  for (const name of LIMIT_NAMES) requiredLimits[name] = adapter.limits[name];
  const wanted = { requiredFeatures: features as GPUFeatureName[], requiredLimits };
  const device = await adapter.requestDevice(wanted).catch((error: Error) => {
    const name = adapter.info.device || adapter.info.description || "the adapter";
    throw new DeviceError("requestDevice", `${name} gives no device: ${firstLine(error)}`, { cause: error });
  });
  const limits = Object.fromEntries(LIMIT_NAMES.map((name) => [name, device.limits[name]])) as unknown as DeviceLimits;
  const syntax = await probeMatrixSyntax(device);
  const facts = readFacts(adapter.info, features, { ...limits, ...fakeLimits }, syntax);
  return new Device(device, facts, { ...options, variants: { ...options.tuned?.(facts), ...options.variants } });
}

/** A device of the browser. In Node use `requestDevice` from `toile/node`. */
export function requestDevice(options: RequestOptions = {}): Promise<Device> {
  return requestDeviceFrom((globalThis.navigator as Navigator | undefined)?.gpu, options);
}
