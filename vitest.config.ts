import { defineConfig } from "vitest/config";

const wgsl = {
  name: "wgsl",
  enforce: "pre" as const,
  transform: (code: string, id: string) =>
    id.split("?")[0]!.endsWith(".wgsl") ? { code: `export default ${JSON.stringify(code)};`, map: null } : undefined,
};

export default defineConfig({
  plugins: [wgsl],
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
