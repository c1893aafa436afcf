import { KernelError } from "../util/errors.ts";

/** Activations that a kernel can apply to its result; the order is that of `activate4` in lib/activation.wgsl. */
export const ACTIVATIONS = ["none", "relu", "silu", "gelu", "geluTanh", "quickGelu", "tanh", "sigmoid", "exp"] as const;

export type Activation = (typeof ACTIVATIONS)[number];

/** The number that a kernel's spec constant ACT stands for. */
export function activationCode(activation: Activation = "none"): number {
  const code = ACTIVATIONS.indexOf(activation);
  if (code < 0)
    throw new KernelError("activation", `no activation "${String(activation)}": there are ${ACTIVATIONS.join(", ")}`);
  return code;
}
