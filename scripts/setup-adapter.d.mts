export interface OsRelease {
  readonly id: string;
  /** NaN where the release has no number. */
  readonly version: number;
  readonly name: string;
}
export function probe(): { name: string; software: boolean } | { reason: string; broken?: boolean };
export function parseOsRelease(text: string): OsRelease;
export function plan(platform: string, os: OsRelease): { install: "release" | "bookworm-backports" } | { tell: string };
export function mirrorOf(sources: readonly string[]): string;
export function installScript(from: "release" | "bookworm-backports", sources: readonly string[]): string;
export function asRoot(script: string): string | undefined;
