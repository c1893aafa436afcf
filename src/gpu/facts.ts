/** Limits of a device that this library plans with. Bytes, except where the name says otherwise. */
export interface DeviceLimits {
  /** Of one buffer. */
  readonly maxBufferSize: number;
  /** Of what one binding of a kernel sees. */
  readonly maxStorageBufferBindingSize: number;
  /** Workgroups, not bytes. */
  readonly maxComputeWorkgroupsPerDimension: number;
  /** Threads, not bytes. */
  readonly maxComputeInvocationsPerWorkgroup: number;
  /** Of the memory that a workgroup shares. */
  readonly maxComputeWorkgroupStorageSize: number;
  /** What offsets of storage bindings are multiples of. */
  readonly minStorageBufferOffsetAlignment: number;
  /** What offsets of uniform bindings are multiples of. */
  readonly minUniformBufferOffsetAlignment: number;
}

/** One shape of matrix that the device's subgroup-matrix units multiply. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/**
 * How the device spells loads and stores of subgroup matrices: with the layout as a template argument, or, in older
 * Dawn, as a flag. `emulated` computes them without matrix units, for tests.
 */
export type MatrixSyntax = "layout" | "flag" | "emulated";

/** What a device can do: asked once, then passed as data, so that every choice of kernel is a pure function. */
export interface DeviceFacts {
  /** For people: `llvmpipe (mesa, software)`. */
  readonly name: string;
  /** The adapter's vendor, as the driver tells it; may be empty. */
  readonly vendor: string;
  /** The adapter's family, as the driver tells it; may be empty. */
  readonly architecture: string;
  /** The adapter's name, as the driver tells it; may be empty. */
  readonly description: string;
  /** Whether the processor computes in the place of a GPU. */
  readonly isSoftware: boolean;
  /** Whether shaders have 16-bit floats. */
  readonly f16: boolean;
  /** Whether passes can be timed on the device. */
  readonly timestamps: boolean;
  /** Lanes of a subgroup, where the device has subgroups and always uses one size, or one can be asked for. */
  readonly subgroupSize: number | undefined;
  /** Shaders must ask for `subgroupSize`, because the device has others too. */
  readonly pinned: boolean;
  /** Empty where there are no matrix units or their syntax is unknown. */
  readonly subgroupMatrix: readonly SubgroupMatrixConfig[];
  /** undefined where there are no matrix units, or none that were understood. */
  readonly matrixSyntax: MatrixSyntax | undefined;
  /** WebGPU features that the device was made with. */
  readonly features: readonly string[];
  /** Largest sizes. */
  readonly limits: DeviceLimits;
}

export const LIMIT_NAMES = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupsPerDimension",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupStorageSize",
  "minStorageBufferOffsetAlignment",
  "minUniformBufferOffsetAlignment",
] as const satisfies readonly (keyof DeviceLimits)[];

/** Features asked for wherever the adapter offers them. */
export const WANTED_FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
] as const;

interface MatrixInfo {
  readonly subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[];
}

/** Reads an adapter's answers into facts. `features` are those that the device was made with. */
export function readFacts(
  info: GPUAdapterInfo,
  features: readonly string[],
  limits: DeviceLimits,
  matrixSyntax?: MatrixSyntax,
): DeviceFacts {
  const isSoftware = info.isFallbackAdapter || /llvmpipe|swiftshader|software|lavapipe/i.test(describe(info));
  const { subgroupSize, pinned } = subgroups(info, features);
  return {
    name: `${info.device || info.description || info.architecture || "unnamed"} (${info.vendor || "unknown vendor"}${isSoftware ? ", software" : ""})`,
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    isSoftware,
    f16: features.includes("shader-f16"),
    timestamps: features.includes("timestamp-query"),
    subgroupSize,
    pinned,
    subgroupMatrix: matrixSyntax ? [...((info as MatrixInfo).subgroupMatrixConfigs ?? [])] : [],
    matrixSyntax,
    features,
    limits,
  };
}

const describe = (info: GPUAdapterInfo) => `${info.device} ${info.description} ${info.architecture}`;

/** The size of subgroups to count on. Where there are several, one is asked for: the one whose matrix units are usable. */
function subgroups(info: GPUAdapterInfo, features: readonly string[]): Pick<DeviceFacts, "subgroupSize" | "pinned"> {
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  if (!features.includes("subgroups") || !(least > 0)) return { subgroupSize: undefined, pinned: false };
  if (least === most) return { subgroupSize: most, pinned: false };
  if (!features.includes("subgroup-size-control")) return { subgroupSize: undefined, pinned: false };
  const wanted = /intel/i.test(info.vendor) ? 16 : 32;
  return { subgroupSize: Math.min(Math.max(wanted, least), most), pinned: true };
}
