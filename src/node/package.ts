import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where the package lies, and its version: the bundle and the sources are at different depths. */
export function packageInfo(): { readonly root: string; readonly version: string } {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  return { root, version };
}

/**
 * The path of something that ships with the package, wherever it is installed: `shipped("weights")` is the small
 * checkpoint, `shipped("examples/images")` the pictures.
 */
export const shipped = (path: string): string => join(packageInfo().root, path);
