import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "./errors.ts";

/** What both evaluations write. */
export const METRICS = "metrics.json";

/** What `evaluate-drawn` measures, in words. */
export const DRAWN = "drawn people";

/** What `evaluate` measures, in words. */
export const measured = (protocol: string, order: string) => `${protocol}, ${order}`;

/**
 * Refuses to write over what was measured otherwise: by another command, protocol or order.
 * @param what is to be measured, in words
 * @throws UsageError
 */
export async function refuseOther(out: string, what: string): Promise<void> {
  const found = await readFile(join(out, METRICS), "utf8").catch(() => undefined);
  const other = found === undefined ? what : subjectOf(found);
  if (other !== what)
    throw new UsageError(`--out: ${out} holds ${METRICS} of ${other}: name another folder for ${what}`);
}

function subjectOf(text: string): string {
  try {
    const { protocol, order, settings } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (typeof protocol === "string" && typeof order === "string") return measured(protocol, order);
    if (settings !== undefined) return DRAWN;
  } catch {
    // of somebody else
  }
  return "something else";
}
