import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { DeviceFacts } from "../gpu/facts.ts";
import { isUsable, type Tuning } from "../kernels/tuning.ts";
import { writeFileAtomic } from "./files.ts";
import { makeFolder } from "./folders.ts";
import { packageInfo } from "./package.ts";

/** What a table holds for: another adapter, driver, Dawn or version of this package needs its own. */
type Identity = Readonly<Record<"adapter" | "driver" | "dawn" | "toile", string>>;

function identityOf({ name, architecture, description }: DeviceFacts): Identity {
  const dawn = createRequire(import.meta.url)("webgpu/package.json") as { version: string };
  return {
    adapter: [name, architecture].join(" "),
    driver: description,
    dawn: dawn.version,
    toile: packageInfo().version,
  };
}

/** Where a device's table lies: in `$XDG_CACHE_HOME/toile`, by default `~/.cache/toile`. */
export function tuningPath(facts: DeviceFacts): string {
  const name = createHash("sha256")
    .update(JSON.stringify(identityOf(facts)))
    .digest("hex")
    .slice(0, 16);
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "toile", `tuning-${name}.json`);
}

/** The device's table of measured choices; empty where there is none. A corrupt or foreign one is ignored, and `say` told. */
export function readTuning(facts: DeviceFacts, say: (line: string) => void): Tuning {
  const path = tuningPath(facts);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return {};
  }
  const plans = plansIn(text, identityOf(facts));
  if (typeof plans === "string") {
    say(`${path} is ignored: ${plans}`);
    return {};
  }
  const usable = Object.entries(plans).filter(([key, name]) => typeof name === "string" && isUsable(facts, key, name));
  const unknown = Object.keys(plans).length - usable.length;
  if (unknown > 0) say(`${path}: ${unknown} of ${Object.keys(plans).length} lines are ignored: no such variant here`);
  return Object.fromEntries(usable);
}

/** The choices that a table holds, or what is wrong with it. */
function plansIn(text: string, identity: Identity): Tuning | string {
  let table: { identity?: unknown; plans?: unknown } | null;
  try {
    table = JSON.parse(text) as typeof table;
  } catch {
    return "it is not JSON";
  }
  if (typeof table?.plans !== "object" || table.plans === null) return "it holds no plans";
  if (JSON.stringify(table.identity) !== JSON.stringify(identity))
    return "it was measured on another device or version";
  return table.plans as Tuning;
}

/** Keeps a device's table, beside what an earlier one held. @returns where @throws InputError when it cannot be written */
export async function writeTuning(facts: DeviceFacts, plans: Tuning): Promise<string> {
  const path = tuningPath(facts);
  const all = { ...readTuning(facts, () => {}), ...plans };
  await makeFolder(dirname(path));
  const text = `${JSON.stringify({ identity: identityOf(facts), plans: all }, undefined, 2)}\n`;
  await writeFileAtomic(path, new TextEncoder().encode(text));
  return path;
}
