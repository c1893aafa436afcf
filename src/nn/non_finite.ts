import { nonFinite } from "../tensor/ops.ts";
import { instrument } from "./instrument.ts";
import type { Module } from "./module.ts";

/** What a pass over networks shows. Paths begin with the network's name, where it has one. */
export interface Outputs {
  /** Modules in the order in which they answered: inner ones before those that hold them. */
  readonly order: readonly string[];
  /** The first whose output held a NaN or an infinity. */
  readonly firstBad: string | undefined;
}

/** Runs networks once more with every module's output counted. `repeat` frees what it makes. */
export async function watchOutputs(networks: ReadonlyMap<string, Module>, repeat: () => void): Promise<Outputs> {
  const answers: { path: string; bad: Promise<number> }[] = [];
  const undo = [...networks].map(([name, network]) =>
    instrument(network, (path, output) =>
      answers.push({ path: [name, path].filter(Boolean).join("."), bad: nonFinite(output) }),
    ),
  );
  try {
    repeat();
  } finally {
    for (const restore of undo) restore();
  }
  const counts = await Promise.all(answers.map(({ bad }) => bad));
  return { order: answers.map(({ path }) => path), firstBad: answers[counts.findIndex((bad) => bad > 0)]?.path };
}
