import type { Kernel } from "../gpu/kernel.ts";
import type { Spec } from "../gpu/wgsl.ts";

/** A kernel and the specs it is used with: what the compile tests go through. */
export interface KernelEntry {
  readonly kernel: Kernel;
  readonly specs: readonly Spec[];
  /** Features without which a device cannot compile it. */
  readonly needs?: readonly string[];
}
