import { defineConfig } from "vitest/config";

const wgsl = {
  name: "wgsl",
  enforce: "pre" as const,
  transform: (code: string, id: string) =>
    id.split("?")[0]!.endsWith(".wgsl") ? { code: `export default ${JSON.stringify(code)};`, map: null } : undefined,
};

const report = process.env["TOILE_TEST_REPORT"]; // a file for the results as JSON

export default defineConfig({
  plugins: [wgsl],
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    ...(report !== undefined && {
      reporters: ["default", ["json", { outputFile: report }]] as ["default", ["json", { outputFile: string }]],
    }),
  },
});
