import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfigFromFile } from "vite";
import { expect, test } from "vitest";
import { root, scratch } from "../cli/run.ts";

test("a copy of the page in a project with sources of its own takes the installed package", async () => {
  const project = scratch();
  for (const folder of ["web", "src", "node_modules"]) mkdirSync(join(project, folder));
  copyFileSync(join(root, "web/vite.config.ts"), join(project, "web/vite.config.ts"));
  writeFileSync(join(project, "src/index.ts"), "export {};\n");
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "shop", type: "module" }));
  symlinkSync(root, join(project, "node_modules/toile"));
  symlinkSync(join(root, "node_modules/vite"), join(project, "node_modules/vite"));
  const env = { command: "build", mode: "production" } as const;
  const aliases = async (folder: string) =>
    (await loadConfigFromFile(env, join(folder, "web/vite.config.ts")))!.config.resolve!.alias;
  expect(await aliases(project)).toEqual({});
  expect(await aliases(root)).toEqual({ toile: join(root, "src/index.ts") });
});
