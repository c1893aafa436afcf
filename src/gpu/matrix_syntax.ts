import type { MatrixSyntax } from "./facts.ts";
import flag from "./probe_matrix_flag.wgsl";
import layout from "./probe_matrix_layout.wgsl";

const PROBES: readonly (readonly [MatrixSyntax, string])[] = [
  ["layout", layout],
  ["flag", flag],
];

/**
 * Which syntax of the subgroup-matrix proposal (gpuweb, proposals/subgroup-matrix.md) the device's compiler takes;
 * undefined where it takes none. The proposal still changes, so the compiler is asked.
 */
export async function probeMatrixSyntax(device: GPUDevice): Promise<MatrixSyntax | undefined> {
  if (!device.features.has("chromium-experimental-subgroup-matrix")) return undefined;
  for (const [syntax, code] of PROBES) {
    device.pushErrorScope("validation");
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    const refused = await device.popErrorScope();
    if (!refused && !messages.some((message) => message.type === "error")) return syntax;
  }
  return undefined;
}
