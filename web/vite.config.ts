import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
/** Of the checkpoint that ships. */
const WEIGHTS = "weights/";

const wgsl: Plugin = {
  name: "wgsl",
  enforce: "pre",
  transform: (code, id) =>
    id.split("?")[0]!.endsWith(".wgsl") ? { code: `export default ${JSON.stringify(code)};`, map: null } : undefined,
};

/** Every file of the checkpoint by its path in the repository. */
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
  resolve: { alias: { toile: join(root, "src/index.ts") } }, // a copy elsewhere leaves this out and installs the package
  worker: { format: "es", plugins: () => [wgsl] },
  build: { target: "es2023", outDir: join(root, "out/web"), emptyOutDir: true },
  server: { fs: { allow: [root] } },
});
