import { defineConfig } from "tsup";

export default defineConfig({
  entry: {
    index: "src/index.ts",
    node: "src/node/index.ts",
    cli: "src/cli/main.ts",
    "data-worker": "src/node/data/worker.ts",
  },
  format: ["esm"],
  target: "es2023",
  platform: "node",
  loader: { ".wgsl": "text" },
  external: ["webgpu", "sharp", "onnxruntime-node"],
  dts: {
    entry: { index: "src/index.ts", node: "src/node/index.ts" },
    compilerOptions: { ignoreDeprecations: "6.0" }, // tsup sets baseUrl, which TypeScript 6 warns about
  },
  splitting: true, // both entry points share one Tensor class
  sourcemap: true,
  clean: true,
});
