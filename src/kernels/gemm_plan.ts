import type { DeviceFacts, SubgroupMatrixConfig } from "../gpu/facts.ts";
import type { Spec } from "../gpu/wgsl.ts";
import { KernelError } from "../util/errors.ts";

/** What a product's plan depends on. Columns and depth in vectors of four. */
export interface GemmProblem {
  readonly elem: "f32" | "f16";
  readonly batches: number;
  /** Rows of one batch. */
  readonly m: number;
  readonly n4: number;
  readonly k4: number;
  /** Kernel positions of a convolution, else 1. */
  readonly taps: number;
}

/** Names of variants, by kernel or by problem: what `Device.variants` holds. */
export type Variants = Readonly<Record<string, string>>;

/** Name of a problem in a table of measured choices. */
export const gemmKey = ({ elem, batches, m, n4, k4, taps }: GemmProblem): string =>
  `gemm ${elem} ${batches}x${m}x${n4 * 4}x${k4 * 4}x${taps}`;

/** The form that was asked for or measured for a product, if any. */
export const gemmChoice = (variants: Variants, problem: GemmProblem): string | undefined =>
  variants["gemm"] ?? variants[gemmKey(problem)];

type Variant = "matrix" | "subgroup" | "tiled" | "plain";

/** How a product is computed: which kernel, its tile, and into how many parts along k. */
export interface GemmPlan {
  /** Forces this plan: `tiled-64x64/4` is four parts. */
  readonly name: string;
  readonly variant: Variant;
  readonly rows: number;
  /** Columns of a tile, in vectors. */
  readonly columns4: number;
  readonly splits: number;
  /** Steps along k of one part. */
  readonly splitSteps: number;
  readonly spec: Spec;
}

/** A kernel with its tile, before it is known into how many parts a product is cut. */
interface Form {
  readonly name: string;
  readonly variant: Variant;
  readonly rows: number;
  readonly columns4: number;
  /** Vectors along k of one step. */
  readonly depth4: number;
  readonly spec: Spec;
}

/** Grid of subgroups for each tile of the matrix kernel; the first that fills a device is taken. */
export const MATRIX_TILES = [
  { ROWS: 128, COLUMNS: 128, GRID_M: 2, GRID_N: 4 },
  { ROWS: 64, COLUMNS: 64, GRID_M: 2, GRID_N: 2 },
  { ROWS: 32, COLUMNS: 32, GRID_M: 1, GRID_N: 2 },
] as const;

export const TILED_TILES = [
  { ROWS: 128, COLUMNS4: 16, TM: 8, TN4: 2 },
  { ROWS: 64, COLUMNS4: 16, TM: 8, TN4: 2 },
  { ROWS: 32, COLUMNS4: 8, TM: 4, TN4: 1 },
] as const;

/** Rows of the subgroup kernel's tiles: 16 keep their sums in registers, 32 do not. */
export const SUBGROUP_ROWS = [16, 4] as const;

const FULL = 128; // workgroups that keep a GPU busy
const SPLIT_DEPTH = 256; // values along k that a part should have at least
const MOST_SPLITS = 16;
const PART_BYTES = 2 ** 26; // that all parts together may take

/**
 * Chooses the kernel. A pure function of the sizes and the device's facts.
 * @param name overrides the choice: a kernel (`tiled`), with its tile and in one part (`tiled-64x64`), in several (`tiled-64x64/4`, `tiled/4`)
 * @throws KernelError when the device has no such form
 */
export function planGemm(facts: DeviceFacts, problem: GemmProblem, name?: string): GemmPlan {
  const forms = formsFor(facts, problem.elem);
  if (name === undefined) return finish(facts, problem, preferred(facts, problem, forms));
  const [wanted = "", parts = /\d/.test(wanted) ? "1" : "auto"] = name.split("/");
  const splits = parts === "auto" ? undefined : Number(parts);
  if (splits !== undefined && !(Number.isInteger(splits) && splits > 0))
    throw new KernelError("gemm", `no variant named ${name}: ${parts} parts`);
  const named = forms.filter((form) => form.name === wanted || form.variant === wanted);
  const form = named.find((one) => fills(problem, one)) ?? named.at(-1);
  if (!form) {
    const names = forms.map((one) => one.name).join(", ");
    throw new KernelError(
      "gemm",
      `no variant named ${wanted} for ${problem.elem} on ${facts.name}: there are ${names}`,
    );
  }
  return finish(facts, problem, form, splits);
}

/** The same for a product whose columns gate each other: a thread has to meet a value and its gate, or a second stage does. */
export function planGated(facts: DeviceFacts, problem: GemmProblem, name?: string): GemmPlan {
  const plan = planGemm(facts, problem, name);
  const { variant, spec, splits } = plan;
  const meets = {
    matrix: Number(spec["NN"]) % 8 === 0,
    subgroup: true,
    tiled: Number(spec["TN4"]) % 2 === 0,
    plain: true,
  };
  return splits > 1 || meets[variant] ? plan : planGemm(facts, problem, "tiled-64x64");
}

/** Names of the plans worth timing for a problem, the planner's own choice first. */
export function gemmCandidates(facts: DeviceFacts, problem: GemmProblem): string[] {
  const own = planGemm(facts, problem);
  const names = formsFor(facts, problem.elem)
    .filter(({ variant, rows }) => variant !== "plain" && (problem.m > 4 || rows <= 32))
    .flatMap((form) => {
      const one = finish(facts, problem, form, 1);
      const tiles = tilesOf(problem, form);
      const parts =
        facts.isSoftware || tiles >= 4 * FULL ? [] : [2, 4, 8].map((splits) => finish(facts, problem, form, splits));
      return [one, ...parts];
    })
    .map((plan) => plan.name);
  return [...new Set([own.name, ...names])];
}

/** Every form that a device can run, the fastest kind first and the largest tile first within a kind. */
function formsFor(facts: DeviceFacts, elem: "f32" | "f16"): Form[] {
  return [...matrixForms(facts, elem), ...subgroupForms(facts), ...TILED, PLAIN];
}

const PLAIN: Form = { name: "plain", variant: "plain", rows: 1, columns4: 1, depth4: 1, spec: {} };

const TILED: readonly Form[] = TILED_TILES.map((spec) => ({
  name: `tiled-${spec.ROWS}x${spec.COLUMNS4 * 4}`,
  variant: "tiled",
  rows: spec.ROWS,
  columns4: spec.COLUMNS4,
  depth4: 4,
  spec,
}));

function subgroupForms({ subgroupSize: lanes, pinned, limits }: DeviceFacts): Form[] {
  if (lanes === undefined) return [];
  const fitting = SUBGROUP_ROWS.filter((rows) => rows * lanes * 16 <= limits.maxComputeWorkgroupStorageSize);
  return fitting.map((rows) => ({
    name: `subgroup-${rows}`,
    variant: "subgroup",
    rows,
    columns4: lanes,
    depth4: 1,
    spec: { LANES: lanes, ROWS: rows, PIN: pinned },
  }));
}

function matrixForms(facts: DeviceFacts, elem: "f32" | "f16"): Form[] {
  const config = matrixConfig(facts, elem);
  const { subgroupSize: lanes, limits } = facts;
  if (!config || lanes === undefined) return [];
  const { M, N, K, componentType: comp } = config;
  return MATRIX_TILES.filter(({ ROWS, COLUMNS, GRID_M, GRID_N }) => {
    const subgroups = GRID_M * GRID_N;
    const bytes = (ROWS + COLUMNS) * 40 * (comp === "f16" ? 2 : 4) + subgroups * M * N * 4;
    const fits = ROWS % (GRID_M * M) === 0 && COLUMNS % (GRID_N * N) === 0;
    return (
      fits &&
      bytes <= limits.maxComputeWorkgroupStorageSize &&
      subgroups * lanes <= limits.maxComputeInvocationsPerWorkgroup
    );
  }).map((tile) => ({
    name: `matrix-${tile.ROWS}x${tile.COLUMNS}`,
    variant: "matrix",
    rows: tile.ROWS,
    columns4: tile.COLUMNS / 4,
    depth4: 8,
    spec: { ...tile, comp, LANES: lanes, PIN: facts.pinned, MM: M, NN: N, KK: K },
  }));
}

/**
 * The matrix units' shape to use for a storage type, with sums in f32: of the storage type where there is one, else
 * f16 is widened. Units that sum in f16 are not used.
 */
export function matrixConfig(facts: DeviceFacts, elem: "f32" | "f16"): SubgroupMatrixConfig | undefined {
  const usable = (comp: string) =>
    facts.subgroupMatrix
      .filter(({ componentType, resultComponentType, M, N, K }) => {
        const fits = [M, N, K].every((size) => size >= 4 && 32 % size === 0) && N % 4 === 0;
        return componentType === comp && resultComponentType === "f32" && fits;
      })
      .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K)[0];
  if (!facts.matrixSyntax || (elem === "f16" && !facts.f16)) return undefined;
  return (elem === "f16" ? usable("f16") : undefined) ?? usable("f32");
}

const tilesOf = ({ batches, m, n4 }: GemmProblem, { rows, columns4 }: Form): number =>
  batches * Math.ceil(m / rows) * Math.ceil(n4 / columns4);

const fills = (problem: GemmProblem, form: Form): boolean =>
  form.variant === "subgroup" ? form.rows === 4 || problem.m > 4 : tilesOf(problem, form) >= FULL;

/** Software adapters like tiles of one subgroup; GPUs the largest tile that still keeps all of them busy. */
function preferred(facts: DeviceFacts, problem: GemmProblem, forms: readonly Form[]): Form {
  const first = (variant: Variant) => {
    const own = forms.filter((form) => form.variant === variant);
    return own.find((form) => fills(problem, form)) ?? own.at(-1);
  };
  if (facts.isSoftware || problem.m <= 4) return first("subgroup") ?? first("tiled")!;
  return first("matrix") ?? first("tiled")!;
}

/** Into how many parts a product is cut so that a GPU has enough to do; software adapters have few cores. */
function splitsFor(facts: DeviceFacts, problem: GemmProblem, form: Form): number {
  const tiles = tilesOf(problem, form);
  if (facts.isSoftware || form.variant === "plain" || tiles >= FULL) return 1;
  const deep = Math.floor((problem.taps * problem.k4 * 4) / SPLIT_DEPTH);
  return Math.max(1, Math.min(Math.ceil((2 * FULL) / tiles), deep, MOST_SPLITS));
}

function finish(facts: DeviceFacts, problem: GemmProblem, form: Form, splits?: number): GemmPlan {
  const { batches, m, n4, k4, taps } = problem;
  const steps = taps * Math.ceil(k4 / form.depth4);
  const one = batches * m * n4 * 16;
  const room = Math.floor(Math.min(PART_BYTES, facts.limits.maxStorageBufferBindingSize) / one);
  const wanted = Math.max(1, Math.min(splits ?? splitsFor(facts, problem, form), steps, room));
  const splitSteps = Math.ceil(steps / wanted);
  const parts = Math.ceil(steps / splitSteps); // none of them empty
  const name = parts === 1 ? form.name : `${form.name}/${parts}`;
  return { ...form, name, splits: parts, splitSteps };
}
