import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

/** Whether a folder is toile with its sources, and not another project that the page was copied into. */
function isRepository(folder: string): boolean {
  const [sources, about] = [join(folder, "src/index.ts"), join(folder, "package.json")];
  if (!existsSync(sources) || !existsSync(about)) return false;
  return (JSON.parse(readFileSync(about, "utf8")) as { name?: unknown }).name === "toile";
}

const here = fileURLToPath(new URL(".", import.meta.url));
const isCopy = !isRepository(join(here, "..")); // in a project of its own, with the package installed
/** What holds the checkpoint that ships: the repository, or the package. */
const root = isCopy ? join(dirname(createRequire(import.meta.url).resolve("toile")), "../") : join(here, "../");
/** Of the checkpoint that ships. */
const WEIGHTS = "weights/";

const wgsl: Plugin = {
  name: "wgsl",
  enforce: "pre",
  transform: (code, id) =>
    id.split("?")[0]!.endsWith(".wgsl") ? { code: `export default ${JSON.stringify(code)};`, map: null } : undefined,
};

/** Every file of the checkpoint by its path. */
const weights = (): string[] =>
  readdirSync(join(root, WEIGHTS), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(root.length));

/** Serves the checkpoint beside the page, and copies it there at the build. */
const checkpoint: Plugin = {
  name: "checkpoint",
  configureServer: (server) => {
    server.middlewares.use((request, response, next) => {
      const path = weights().find((file) => `/${file}` === request.url?.split("?")[0]);
      if (path === undefined) return next();
      response.end(readFileSync(join(root, path)));
    });
  },
  generateBundle() {
    for (const fileName of weights())
      this.emitFile({ type: "asset", fileName, source: readFileSync(join(root, fileName)) });
  },
};

export default defineConfig({
  base: "./", // the built page works in any folder of a server
  plugins: [wgsl, checkpoint],
  resolve: { alias: isCopy ? {} : { toile: join(root, "src/index.ts") } },
  worker: { format: "es", plugins: () => [wgsl] },
  build: { target: "es2023", outDir: isCopy ? join(here, "dist") : join(root, "out/web"), emptyOutDir: true },
  server: { fs: { allow: [root, here] } },
});
