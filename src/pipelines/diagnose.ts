import type { Module } from "../nn/module.ts";
import { watchOutputs } from "../nn/non_finite.ts";
import { nonFinite } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { NonFiniteError } from "../util/errors.ts";

/** Throws when a tensor holds a NaN or an infinity. `repeat` runs the guilty network again, to name its first bad module. */
export async function assertFinite(tensor: Tensor, what: string, network: Module, repeat: () => Tensor): Promise<void> {
  const bad = await nonFinite(tensor);
  if (bad === 0) return;
  const { firstBad } = await watchOutputs(new Map([["", network]]), () => repeat().dispose());
  const where =
    firstBad === undefined
      ? "; a second pass did not produce any"
      : `; the first module to produce one is ${firstBad || "the network itself"}`;
  throw new NonFiniteError(what, `${bad} of ${tensor.size} values are NaN or infinite${where}`);
}
