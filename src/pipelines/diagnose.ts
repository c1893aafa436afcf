import { instrument } from "../nn/instrument.ts";
import type { Module } from "../nn/module.ts";
import { nonFinite } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { NonFiniteError } from "../util/errors.ts";

/** Throws when a tensor holds a NaN or an infinity. `repeat` runs the guilty network again, to name its first bad module. */
export async function assertFinite(tensor: Tensor, what: string, network: Module, repeat: () => Tensor): Promise<void> {
  const bad = await nonFinite(tensor);
  if (bad === 0) return;
  const where = await firstBadModule(network, repeat);
  throw new NonFiniteError(what, `${bad} of ${tensor.size} values are NaN or infinite${where}`);
}

/** Runs a network once more with every module's output counted, and names the first whose output is not finite. */
async function firstBadModule(network: Module, repeat: () => Tensor): Promise<string> {
  // inner modules answer before the ones that hold them, so the first bad answer is the culprit's
  const answers: { path: string; bad: Promise<number> }[] = [];
  const undo = instrument(network, (path, output) => answers.push({ path, bad: nonFinite(output) }));
  try {
    repeat().dispose();
  } finally {
    undo();
  }
  const counts = await Promise.all(answers.map(({ bad }) => bad));
  const first = answers[counts.findIndex((bad) => bad > 0)];
  return first
    ? `; the first module to produce one is ${first.path || "the network itself"}`
    : "; a second pass did not produce any";
}
