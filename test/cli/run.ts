import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { fixture } from "../helpers.ts";

export const root = fileURLToPath(new URL("../../", import.meta.url));
/** The built command. */
export const cli = join(root, "dist/cli.js");

/** These tests run what was built; `npm test` builds first. */
function checkBuilt(): void {
  if (!existsSync(cli)) throw new Error("there is no dist/: npm run build");
  const sources = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const built = statSync(cli).mtimeMs;
  const newer = sources.find(({ parentPath, name }) => statSync(join(parentPath, name)).mtimeMs > built);
  if (newer) process.emitWarning(`dist/ is older than ${newer.name}: npm run build`);
}
checkBuilt();

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly ms: number;
}

/** Runs the built command as a user would. */
export function toile(args: readonly string[], env: Readonly<Record<string, string>> = {}): Ran {
  const began = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
    encoding: "utf8",
    cwd: root,
    env: { ...process.env, ...env },
  });
  return { code: status, out: stdout, err: stderr, ms: performance.now() - began };
}

/** Starts the built command and leaves it running. */
export const startToile = (args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [cli, ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });

/** A folder of the test's own. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "toile-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Every file below a folder. */
export const filesIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name)
        .sort()
    : [];

/** Arguments of a small try-on that works, with changes; `undefined` takes an option away, `true` is a switch. */
export function tryOnArgs(out: string, changes: Readonly<Record<string, string | true | undefined>> = {}): string[] {
  const at = (name: string) => fixture(`pipeline/hd-upperbody/${name}.png`);
  const options: Readonly<Record<string, string | true | undefined>> = {
    person: at("person"),
    garment: at("garment"),
    mask: at("mask"),
    checkpoints: fixture("checkpoints"),
    ...{ width: "64", height: "64", steps: "2", seed: "5", out },
    ...changes,
  };
  const given = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : value === true ? [`--${name}`] : [`--${name}`, value],
  );
  return ["try-on", ...given];
}
