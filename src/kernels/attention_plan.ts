import type { DeviceFacts, SubgroupMatrixConfig } from "../gpu/facts.ts";
import type { Spec } from "../gpu/wgsl.ts";
import { KernelError } from "../util/errors.ts";
import { matrixConfig, type Variants } from "./gemm_plan.ts";

export interface AttentionProblem {
  readonly elem: "f32" | "f16";
  readonly headDim: number;
}

/** Name of a problem in a table of measured choices. */
export const attentionKey = ({ elem, headDim }: AttentionProblem): string => `attention ${elem} ${headDim}`;

/** The form that was asked for or measured for a head, if any. */
export const attentionChoice = (variants: Variants, problem: AttentionProblem): string | undefined =>
  variants["attention"] ?? variants[attentionKey(problem)];

export interface AttentionPlan {
  /** Forces this plan. */
  readonly name: string;
  readonly variant: "matrix" | "subgroup" | "tiled" | "plain";
  /** Queries of a tile. */
  readonly rows: number;
  readonly spec: Spec;
}

/** Tiles of the matrix kernel, the first that fits into workgroup memory is taken. */
export const ATTENTION_TILES = [
  { SUBGROUPS: 4, KEYS: 32 },
  { SUBGROUPS: 2, KEYS: 32 },
  { SUBGROUPS: 2, KEYS: 16 },
] as const;

/** Queries of a subgroup's tile: a wide head's sums leave less room. */
export const subgroupRows = (headDim: number): number => (headDim <= 96 ? 16 : headDim <= 256 ? 8 : 4);

/**
 * Chooses the kernel. A pure function of the sizes and the device's facts.
 * @param name overrides the choice: a kernel (`matrix`), or with its tile (`matrix-4x32`)
 * @throws KernelError when the device has no such form
 */
export function planAttention(facts: DeviceFacts, problem: AttentionProblem, name?: string): AttentionPlan {
  const forms = attentionForms(facts, problem);
  if (name === undefined) return forms[0]!;
  const found = forms.find((form) => form.name === name || form.variant === name);
  if (found) return found;
  const names = forms.map((form) => form.name).join(", ");
  const what = `${problem.headDim} channels a head in ${problem.elem} on ${facts.name}`;
  throw new KernelError("attention", `no variant named ${name} for ${what}: there are ${names}`);
}

/** Names of the plans worth timing for a problem, the planner's own choice first. */
export const attentionCandidates = (facts: DeviceFacts, problem: AttentionProblem): string[] =>
  attentionForms(facts, problem)
    .filter(({ variant }) => variant !== "plain")
    .map((form) => form.name);

/** Every form that a device can run for a head, the one to prefer first. */
function attentionForms(facts: DeviceFacts, problem: AttentionProblem): AttentionPlan[] {
  const { headDim } = problem;
  const plain: AttentionPlan = { name: "plain", variant: "plain", rows: 64, spec: {} };
  // wider heads' sums do not fit into a thread's registers
  const tiled: AttentionPlan[] = headDim <= 256 ? [{ name: "tiled", variant: "tiled", rows: 32, spec: {} }] : [];
  return [...matrixForms(facts, problem), ...subgroupForms(facts, headDim), ...tiled, plain];
}

function subgroupForms({ subgroupSize: lanes, pinned }: DeviceFacts, headDim: number): AttentionPlan[] {
  if (lanes === undefined) return [];
  const rows = subgroupRows(headDim);
  return [{ name: "subgroup", variant: "subgroup", rows, spec: { LANES: lanes, ROWS: rows, PIN: pinned } }];
}

/** Workgroup memory of the matrix kernel. */
export function matrixBytes(
  { SUBGROUPS, KEYS }: (typeof ATTENTION_TILES)[number],
  { M, N, K, componentType }: Pick<SubgroupMatrixConfig, "M" | "N" | "K" | "componentType">,
  headDim: number,
  lanes: number,
): number {
  const unit = Math.max(N, K);
  const stride = Math.ceil(headDim / unit) * unit + 8;
  const rows = SUBGROUPS * M;
  const tile = Math.max(rows, 2 * KEYS) * stride + rows * (KEYS + 8);
  return tile * (componentType === "f16" ? 2 : 4) + rows * (KEYS + 4) * 4 + (rows + SUBGROUPS * lanes) * 8 + 16;
}

function matrixForms(facts: DeviceFacts, { elem, headDim }: AttentionProblem): AttentionPlan[] {
  const config = matrixConfig(facts, elem);
  const { subgroupSize: lanes, limits } = facts;
  if (!config || lanes === undefined || headDim > 256) return [];
  const { M, N, K, componentType: comp } = config;
  return ATTENTION_TILES.filter((tile) => {
    const whole = tile.KEYS % Math.max(N, K) === 0 && (lanes % M === 0 || M % lanes === 0);
    return (
      whole &&
      matrixBytes(tile, config, headDim, lanes) <= limits.maxComputeWorkgroupStorageSize &&
      tile.SUBGROUPS * lanes <= limits.maxComputeInvocationsPerWorkgroup
    );
  }).map((tile) => ({
    name: `matrix-${tile.SUBGROUPS}x${tile.KEYS}`,
    variant: "matrix",
    rows: tile.SUBGROUPS * M,
    spec: { ...tile, comp, LANES: lanes, PIN: facts.pinned, MM: M, NN: N, KK: K },
  }));
}
