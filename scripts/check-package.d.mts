/** Bytes, gzipped. */
export const CORE_LIMIT: number;
export function packed(folder: string): { readonly tarball: string; readonly files: readonly string[] };
export function misplaced(files: readonly string[], read: (path: string) => string): string[];
export function unpacked(folder: string, tarball: string): string;
export function linted(toile: string): Promise<string[]>;
export function typeErrors(folder: string, resolution: "bundler" | "node16" | "nodenext"): string;
export function bundled(folder: string): Promise<{
  readonly ofNode: readonly string[];
  readonly bytes: number;
  readonly gzipped: number;
}>;
export function misused(folder: string, node?: string): string[];
