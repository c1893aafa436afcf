import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, openSync } from "node:fs";

// Dawn writes warnings of its own to the process's stderr, which no option of it turns off; they would stand beside
// the one line that a command says there. So native code gets /dev/null for its stderr while the device is made.

/**
 * Takes over what is said on stderr when the descriptor cannot be had back: a socket has no name to open it by, and a
 * file that is opened once more is written from another place, so that whoever writes next overwrites it.
 */
let relay: ChildProcess | undefined;

/** Writes one line to the user's stderr. */
export function say(line: string): void {
  (relay?.stdin ?? process.stderr).write(`${line}\n`);
}

/** Resolves when everything that was said has gone out. */
export async function flushStderr(): Promise<void> {
  if (!relay) return new Promise((resolve) => void process.stderr.write("", () => resolve()));
  relay.stdin?.end();
  await once(relay, "close");
}

/** Runs `work` without the warnings of native code. Nothing else may open files meanwhile. */
export async function withoutNativeNoise<T>(work: () => Promise<T>): Promise<T> {
  const restore = process.platform === "win32" ? undefined : silence();
  try {
    return await work();
  } finally {
    restore?.();
  }
}

function silence(): (() => void) | undefined {
  const stderr = fstatSync(2);
  if (stderr.isSocket() || stderr.isFile()) return sayByRelay();
  let saved: number;
  try {
    saved = openSync("/dev/fd/2", "a");
  } catch {
    return undefined; // it can be written but not opened again: rather noise than nothing
  }
  redirect("/dev/null");
  return () => {
    redirect(`/dev/fd/${saved}`);
    closeSync(saved);
  };
}

/** A child keeps the descriptor as it is and passes on what we say. */
function sayByRelay(): undefined {
  if (relay) return;
  const child = spawn("cat", { stdio: ["pipe", 2, "ignore"] }).on("error", () => {});
  if (child.pid === undefined) return;
  relay = child;
  redirect("/dev/null");
}

/** Points descriptor 2 at a file: the lowest free descriptor is taken first. */
function redirect(path: string): void {
  closeSync(2);
  openSync(path, "a");
}
