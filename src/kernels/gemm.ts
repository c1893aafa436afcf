import type { Device } from "../gpu/device.ts";
import type { MatrixSyntax } from "../gpu/facts.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { activationCode, type Activation } from "./activation.ts";
import type { KernelEntry } from "./entry.ts";
import matrixSource from "./gemm_matrix.wgsl";
import plainSource from "./gemm_plain.wgsl";
import {
  gemmChoice,
  MATRIX_TILES,
  planGated,
  planGemm,
  SUBGROUP_ROWS,
  TILED_TILES,
  type GemmPlan,
} from "./gemm_plan.ts";
import reduceSource from "./gemm_reduce.wgsl";
import subgroupSource from "./gemm_subgroup.wgsl";
import tiledSource from "./gemm_tiled.wgsl";
import activation from "./lib/activation.wgsl";
import epilogue from "./lib/epilogue.wgsl";
import gather from "./lib/gather.wgsl";
import bindings from "./lib/gemm.wgsl";
import index from "./lib/index.wgsl";
import matrix from "./lib/matrix.wgsl";
import matrixEmulated from "./lib/matrix_emulated.wgsl";
import matrixFlag from "./lib/matrix_flag.wgsl";
import { tell } from "./met.ts";

const shared = {
  "lib/index.wgsl": index,
  "lib/activation.wgsl": activation,
  "lib/gemm.wgsl": bindings,
  "lib/gather.wgsl": gather,
  "lib/epilogue.wgsl": epilogue,
};

const params = {
  m: "u32",
  n4: "u32",
  k4: "u32",
  tiles_m: "u32",
  tiles_n: "u32",
  x_first: "u32",
  y_first: "u32",
  x_batch: "u32",
  w_batch: "u32",
  y_batch: "u32",
  first_shift: "u32",
  rows_per_shift: "u32",
  taps: "u32",
  kw: "u32",
  in_h: "u32",
  in_w: "u32",
  first_in_y: "i32",
  out_w: "u32",
  out_hw: "u32",
  first_out_y: "u32",
  stride_y: "u32",
  stride_x: "u32",
  pad_y: "i32",
  pad_x: "i32",
  splits: "u32",
  split_steps: "u32",
  y_split: "u32",
  extras: "u32",
  activation: "u32",
  gated: "u32",
} as const;

const bind = { x: "read", w: "read", bias: "read", shift: "read", residual: "read", y: "read_write" } as const;

const switches = { elem: "f32", stored: "f32", CONV: false, W_ROWS: false };

const subgroup = defineKernel({
  name: "gemm_subgroup",
  files: { ...shared, "gemm_subgroup.wgsl": subgroupSource },
  spec: { ...switches, LANES: 8, PIN: false, ROWS: 16 },
  params,
  bind,
});
const tiled = defineKernel({
  name: "gemm_tiled",
  files: { ...shared, "gemm_tiled.wgsl": tiledSource },
  spec: { ...switches, ROWS: 64, COLUMNS4: 16, TM: 8, TN4: 2 },
  params,
  bind,
});
const plain = defineKernel({
  name: "gemm_plain",
  files: { ...shared, "gemm_plain.wgsl": plainSource },
  spec: switches,
  params,
  bind,
});

const defineMatrix = (name: string, functions: Readonly<Record<string, string>>) =>
  defineKernel({
    name,
    files: { ...shared, ...functions, "gemm_matrix.wgsl": matrixSource },
    spec: {
      ...{ elem: "f16", stored: "f16", comp: "f16", CONV: false, W_ROWS: false, LANES: 32, PIN: false },
      ...{ MM: 16, NN: 16, KK: 16, ...MATRIX_TILES[0] },
    },
    params,
    bind,
  });
const matrices = {
  layout: defineMatrix("gemm_matrix", { "lib/matrix.wgsl": matrix }),
  flag: defineMatrix("gemm_matrix_flag", { "lib/matrix_flag.wgsl": matrixFlag }),
  emulated: defineMatrix("gemm_matrix_emulated", { "lib/matrix_emulated.wgsl": matrixEmulated }),
} satisfies Record<MatrixSyntax, unknown>;

const reduce = defineKernel({
  name: "gemm_reduce",
  files: {
    "lib/index.wgsl": index,
    "lib/activation.wgsl": activation,
    "lib/epilogue.wgsl": epilogue,
    "gemm_reduce.wgsl": reduceSource,
  },
  spec: { elem: "f32" },
  params: {
    rows: "u32",
    m: "u32",
    n4: "u32",
    splits: "u32",
    y_first: "u32",
    y_batch: "u32",
    first_shift: "u32",
    rows_per_shift: "u32",
    extras: "u32",
    activation: "u32",
    gated: "u32",
  },
  bind: { parts: "read", bias: "read", shift: "read", residual: "read", y: "read_write" },
});

/**
 * What is added and applied to a product before it is stored: activation(sum + bias + shift) + residual; or, `gated`,
 * the first half of the columns · gelu(second half), of half as many columns and with a bias alone.
 */
export interface Epilogue {
  /** f32, one value a column. */
  readonly bias?: View | undefined;
  /** One row for every `rowsPerShift` rows. */
  readonly shift?: View | undefined;
  readonly rowsPerShift?: number;
  readonly firstShift?: number;
  readonly activation?: Activation | undefined;
  /** Of y's shape. */
  readonly residual?: View | undefined;
  readonly gated?: boolean;
}

/** Geometry of a convolution; rows of the product are then output pixels. */
export interface ConvGeometry {
  readonly kernel: readonly [height: number, width: number];
  readonly input: readonly [height: number, width: number];
  /** Output pixels of one image (or band), and their width. */
  readonly outWidth: number;
  readonly outPixels: number;
  readonly stride: readonly [y: number, x: number];
  readonly pad: readonly [top: number, left: number];
  /** Image row at which x's binding begins, and the band's first output row. */
  readonly firstInRow: number;
  readonly firstOutRow: number;
}

export interface GemmCall {
  readonly elem: "f32" | "f16";
  readonly batches: number;
  readonly m: number;
  /** Columns and depth in vectors of four. */
  readonly n4: number;
  readonly k4: number;
  readonly x: View;
  readonly w: View;
  readonly y: View;
  /** w lies [n][k] instead of [k][n]. */
  readonly wRows?: boolean;
  /** Vectors from one batch to the next. */
  readonly batchStride?: { readonly x: number; readonly w: number; readonly y: number };
  /** Vectors between the start of the binding and the operand. */
  readonly first?: { readonly x: number; readonly y: number };
  readonly conv?: ConvGeometry;
  readonly epilogue?: Epilogue;
}

/** Records one product. */
export function gemm(device: Device, call: GemmCall): void {
  const { elem, batches, m, n4, k4, conv } = call;
  const [kh, kw] = conv?.kernel ?? [1, 1];
  const problem = { elem, batches, m, n4, k4, taps: kh * kw }; // a convolution's images are rows of one product
  tell(device, { family: "gemm", problem, conv });
  const name = gemmChoice(device.variants, problem);
  const plan = (call.epilogue?.gated ? planGated : planGemm)(device.facts, problem, name);
  if (plan.splits === 1) return multiply(device, plan, call);
  const parts = device.alloc(plan.splits * batches * m * n4 * 16);
  const { epilogue: _, ...sums } = call;
  const stride = { x: 0, w: 0, ...call.batchStride, y: m * n4 };
  multiply(device, plan, { ...sums, y: parts, first: { x: call.first?.x ?? 0, y: 0 }, batchStride: stride });
  addParts(device, plan, call, parts);
  device.release(parts);
}

function multiply(device: Device, plan: GemmPlan, call: GemmCall): void {
  const { batches, m, n4, k4, conv, epilogue: post = {} } = call;
  const tilesM = Math.ceil(m / plan.rows);
  const tilesN = Math.ceil(n4 / plan.columns4);
  const parts = batches * plan.splits;
  const width = post.gated ? n4 / 2 : n4;
  const { nothing } = device;
  device.run(kernelOf(device, plan), {
    spec: {
      ...plan.spec,
      elem: call.elem,
      stored: plan.splits > 1 ? "f32" : call.elem,
      CONV: conv !== undefined,
      W_ROWS: call.wRows ?? false,
    },
    params: {
      m,
      n4,
      k4,
      tiles_m: tilesM,
      tiles_n: plan.variant === "plain" ? parts : tilesN,
      x_first: call.first?.x ?? 0,
      y_first: call.first?.y ?? 0,
      x_batch: call.batchStride?.x ?? 0,
      w_batch: call.batchStride?.w ?? 0,
      y_batch: call.batchStride?.y ?? 0,
      ...convParams(conv),
      splits: plan.splits,
      split_steps: plan.splitSteps,
      y_split: batches * m * n4,
      ...epilogueParams(post),
    },
    bind: { x: call.x, w: call.w, ...epilogueViews(post, nothing), y: call.y },
    groups: plan.variant === "plain" ? Math.ceil((parts * m * width) / 64) : tilesM * tilesN * parts,
  });
}

function kernelOf({ facts }: Device, { variant }: GemmPlan) {
  return variant === "matrix" ? matrices[facts.matrixSyntax!] : { subgroup, tiled, plain }[variant];
}

/** The second stage of a split product: its parts in their order, then the epilogue. */
function addParts(device: Device, plan: GemmPlan, call: GemmCall, parts: View): void {
  const { elem, batches, m, n4, epilogue: post = {} } = call;
  device.run(reduce, {
    spec: { elem },
    params: {
      rows: batches * m,
      m,
      n4,
      splits: plan.splits,
      y_first: call.first?.y ?? 0,
      y_batch: call.batchStride?.y ?? 0,
      ...epilogueParams(post),
    },
    bind: { parts, ...epilogueViews(post, device.nothing), y: call.y },
    groups: Math.ceil((batches * m * (post.gated ? n4 / 2 : n4)) / 64),
  });
}

const epilogueParams = (post: Epilogue) => ({
  first_shift: post.firstShift ?? 0,
  rows_per_shift: post.rowsPerShift ?? 1,
  extras: (post.bias ? 1 : 0) + (post.shift ? 2 : 0) + (post.residual ? 4 : 0),
  activation: activationCode(post.activation),
  gated: post.gated ? 1 : 0,
});

const epilogueViews = ({ bias, shift, residual }: Epilogue, nothing: View) => ({
  bias: bias ?? nothing,
  shift: shift ?? nothing,
  residual: residual ?? nothing,
});

export function convParams(conv: ConvGeometry | undefined) {
  const [kh, kw] = conv?.kernel ?? [1, 1];
  return {
    taps: kh * kw,
    kw,
    in_h: conv?.input[0] ?? 1,
    in_w: conv?.input[1] ?? 1,
    first_in_y: conv?.firstInRow ?? 0,
    out_w: conv?.outWidth ?? 1,
    out_hw: conv?.outPixels ?? 1,
    first_out_y: conv?.firstOutRow ?? 0,
    stride_y: conv?.stride[0] ?? 1,
    stride_x: conv?.stride[1] ?? 1,
    pad_y: conv?.pad[0] ?? 0,
    pad_x: conv?.pad[1] ?? 0,
  };
}

const forms = [{}, { W_ROWS: true }, { CONV: true }];
const stored = [
  { elem: "f32", stored: "f32" },
  { elem: "f16", stored: "f16" },
  { elem: "f16", stored: "f32" },
];
const specs = stored.flatMap((types) => forms.map((form) => ({ ...types, ...form })));

/** Shapes of matrix units that devices are known to have, and of one that the emulation can run on few lanes. */
const UNITS = [
  { comp: "f16", MM: 16, NN: 16, KK: 16 },
  { comp: "f16", MM: 8, NN: 16, KK: 16 },
  { comp: "f16", MM: 8, NN: 8, KK: 16 },
  { comp: "f32", MM: 8, NN: 8, KK: 8 },
];

const matrixSpecs = (lanes: readonly number[], pins: readonly boolean[]) =>
  specs.flatMap((spec) =>
    UNITS.filter(({ comp }) => comp === "f32" || spec.elem === "f16").flatMap((units) =>
      MATRIX_TILES.flatMap((tile) =>
        lanes.flatMap((LANES) => pins.map((PIN) => ({ ...spec, ...units, ...tile, LANES, PIN }))),
      ),
    ),
  );
const matrixNeeds = ["subgroups", "subgroup-size-control", "chromium-experimental-subgroup-matrix"];

export const gemmEntries: readonly KernelEntry[] = [
  {
    kernel: subgroup,
    needs: ["subgroups", "subgroup-size-control"],
    specs: specs.flatMap((spec) =>
      [4, 8, 16, 32, 64, 128].flatMap((LANES) =>
        SUBGROUP_ROWS.flatMap((ROWS) => [false, true].map((PIN) => ({ ...spec, LANES, ROWS, PIN }))),
      ),
    ),
  },
  { kernel: tiled, specs: specs.flatMap((spec) => TILED_TILES.map((tile) => ({ ...spec, ...tile }))) },
  { kernel: plain, specs },
  { kernel: reduce, specs: [{ elem: "f32" }, { elem: "f16" }] },
  { kernel: matrices.layout, needs: matrixNeeds, specs: matrixSpecs([32], [true]) },
  { kernel: matrices.flag, needs: matrixNeeds, specs: matrixSpecs([32], [true]) },
  { kernel: matrices.emulated, needs: ["subgroups"], specs: matrixSpecs([8], [false]) },
];
