import type { MatrixSyntax } from "./facts.ts";

const probe = (load: string): string => `enable chromium_experimental_subgroup_matrix;
var<workgroup> tile: array<f32, 64>;
@compute @workgroup_size(128)
fn main() { let m = ${load}; }`;

const PROBES: readonly (readonly [MatrixSyntax, string])[] = [
  ["layout", probe("subgroupMatrixLoad<subgroup_matrix_left<f32, 8, 8>, row_major>(&tile, 0, 8)")],
  ["flag", probe("subgroupMatrixLoad<subgroup_matrix_left<f32, 8, 8>>(&tile, 0, false, 8)")],
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
