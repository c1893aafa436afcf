import { CommanderError } from "commander";
import { ToileError } from "../util/errors.ts";

/** What the command ends with. */
export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Options that cannot be meant: exit code 2. Every other error is exit code 1. */
export class UsageError extends Error {}

/** Details of a long report that fit on a line a person still reads. */
const DETAILS = 3;

/** The exit code of an error, and its one line for stderr; undefined when it was said already or is no error. */
export function explain(error: unknown): { readonly code: ExitCode; readonly line: string | undefined } {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return { code: EXIT.ok, line: undefined }; // --help, --version
    const said = error.code === "commander.help" || error.code === "commander.helpDisplayed"; // no command given
    return { code: EXIT.usage, line: said ? undefined : error.message.replace(/^error: /, "").replace(/\s+/g, " ") };
  }
  if (error instanceof UsageError) return { code: EXIT.usage, line: oneLine(error.message) };
  if (error instanceof ToileError) return { code: EXIT.failed, line: oneLine(error.message) };
  return { code: EXIT.failed, line: oneLine(ofSystem(error) ?? unexpected(error)) };
}

/** What the system refused: a full disk, a file where a folder should be. Node names the call, the path and the reason. */
function ofSystem(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return undefined;
  return `${path ?? syscall}: ${/^[A-Z]+: ([^,]+)/.exec(error.message)?.[1] ?? code}`;
}

/** A mistake of ours: say where, so that it can be reported. */
function unexpected(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const at = /^\s+at .*/m.exec(error.stack ?? "")?.[0].trim() ?? "";
  return `unexpected ${error.name}: ${error.message} ${at}`;
}

/** A report of several lines as one: its head, the first details, and how many more there are. */
export function oneLine(message: string): string {
  const [head = "", ...rest] = message
    .split(/[\r\n\u2028\u2029]+/)
    .map((line) => line.replace(/\s+/g, " ").trim())
    .filter(Boolean);
  if (rest.length === 0) return head;
  const more = rest.length > DETAILS ? `; and ${rest.length - DETAILS} more` : "";
  return `${head}: ${rest.slice(0, DETAILS).join("; ")}${more}`;
}
