import type { Device } from "../gpu/device.ts";
import type { AttentionProblem } from "./attention_plan.ts";
import type { ConvGeometry } from "./gemm.ts";
import type { GemmProblem } from "./gemm_plan.ts";

/** What a kernel that has several forms was asked to do. */
export type Met =
  | { readonly family: "gemm"; readonly problem: GemmProblem; readonly conv: ConvGeometry | undefined }
  | { readonly family: "attention"; readonly problem: AttentionProblem; readonly queries: number };

const listeners = new WeakMap<Device, (met: Met) => void>();

/** Has every problem that a device meets from now on told to `listener`. */
export function listen(device: Device, listener: (met: Met) => void): void {
  listeners.set(device, listener);
}

/** Tells who listens. */
export function tell(device: Device, met: Met): void {
  listeners.get(device)?.(met);
}
