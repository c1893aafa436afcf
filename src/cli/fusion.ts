import { access } from "node:fs/promises";
import { register } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { fusionNamed } from "../models/fusion/strategies.ts";
import type { FusionStrategy } from "../models/fusion/strategy.ts";
import { reasonOf } from "../node/files.ts";
import { shipped } from "../node/package.ts";
import { InputError } from "../util/errors.ts";
import { UsageError } from "./errors.ts";

const isFile = (text: string): boolean => /\.[cm]?[jt]s$/i.test(text);

/**
 * `--fusion`: a strategy that ships, by its name, or one of the user's own, from a file that exports it by default.
 * @throws UsageError when there is no such strategy, InputError when there is no such file or it exports something else
 */
export async function openFusion(text: string): Promise<FusionStrategy> {
  if (!isFile(text)) return named(text);
  await access(text).catch((error: NodeJS.ErrnoException) => {
    throw new InputError(text, reasonOf(error), { cause: error });
  });
  findToile();
  const { default: found } = (await import(pathToFileURL(resolve(text)).href).catch((error: unknown) => {
    throw new InputError(text, `cannot be imported: ${(error as Error).message}`, { cause: error });
  })) as { default?: Partial<FusionStrategy> };
  if (typeof found?.fuse !== "function" || typeof found.name !== "string" || found.name === "")
    throw new InputError(text, "does not export a fusion strategy by default: an object with a name and fuse()");
  return found as FusionStrategy;
}

function named(text: string): FusionStrategy {
  try {
    return fusionNamed(text);
  } catch (error) {
    throw new UsageError(`--${(error as Error).message}`, { cause: error });
  }
}

let found = false;

/** `import … from "toile"` in such a file is the very library that runs, wherever the file lies. */
function findToile(): void {
  if (found) return;
  found = true;
  const urls = { toile: "dist/index.js", "toile/node": "dist/node.js" };
  const places = Object.entries(urls).map(([name, path]) => [name, pathToFileURL(shipped(path)).href]);
  const hook = `const places = new Map(${JSON.stringify(places)});
export const resolve = (name, context, next) =>
  places.has(name) ? { url: places.get(name), shortCircuit: true } : next(name, context);`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`);
}
