/** Limits of a device that this library plans with. Bytes, except where the name says otherwise. */
export interface DeviceLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly minStorageBufferOffsetAlignment: number;
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

/** What a device can do: asked once, then passed as data, so that every choice of kernel is a pure function. */
export interface DeviceFacts {
  /** For people: `llvmpipe (mesa, software)`. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly isSoftware: boolean;
  readonly f16: boolean;
  readonly timestamps: boolean;
  /** Lanes of a subgroup, where the device has subgroups and always uses one size; else undefined. */
  readonly subgroupSize: number | undefined;
  readonly subgroupMatrix: readonly SubgroupMatrixConfig[];
  readonly features: readonly string[];
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
export function readFacts(info: GPUAdapterInfo, features: readonly string[], limits: DeviceLimits): DeviceFacts {
  const isSoftware = info.isFallbackAdapter || /llvmpipe|swiftshader|software|lavapipe/i.test(describe(info));
  const uniform = info.subgroupMinSize > 0 && info.subgroupMinSize === info.subgroupMaxSize;
  return {
    name: `${info.device || info.description || "unnamed"} (${info.vendor || "unknown vendor"}${isSoftware ? ", software" : ""})`,
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    isSoftware,
    f16: features.includes("shader-f16"),
    timestamps: features.includes("timestamp-query"),
    subgroupSize: features.includes("subgroups") && uniform ? info.subgroupMinSize : undefined,
    subgroupMatrix: features.includes("chromium-experimental-subgroup-matrix")
      ? [...((info as MatrixInfo).subgroupMatrixConfigs ?? [])]
      : [],
    features,
    limits,
  };
}

const describe = (info: GPUAdapterInfo) => `${info.device} ${info.description} ${info.architecture}`;
