import { closeSync, openSync } from "node:fs";

/**
 * Runs `work` with the process's stderr closed to native code: Dawn writes warnings of its own there that no option
 * turns off, and they would stand beside the one line that a command says. Only for a moment in which nothing else
 * opens files; where the descriptor cannot be opened again the warnings are let through.
 */
export async function withoutNativeNoise<T>(work: () => Promise<T>): Promise<T> {
  const restore = process.platform === "win32" || process.env["TOILE_VERBOSE"] ? undefined : swapStderr();
  try {
    return await work();
  } finally {
    restore?.();
  }
}

function swapStderr(): (() => void) | undefined {
  let saved: number;
  try {
    saved = openSync("/dev/fd/2", "a");
  } catch {
    return undefined; // a socket, or no /dev/fd
  }
  replace("/dev/null");
  return () => {
    replace(`/dev/fd/${saved}`);
    closeSync(saved);
  };
}

/** The lowest free descriptor is taken first: after closing 2 the next file is 2. */
function replace(path: string): void {
  closeSync(2);
  openSync(path, "a");
}
