import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import type { Spec } from "../gpu/wgsl.ts";
import { KernelError } from "../util/errors.ts";
import { activationCode, type Activation } from "./activation.ts";
import type { KernelEntry } from "./entry.ts";
import plainSource from "./gemm_plain.wgsl";
import subgroupSource from "./gemm_subgroup.wgsl";
import tiledSource from "./gemm_tiled.wgsl";
import activation from "./lib/activation.wgsl";
import epilogue from "./lib/epilogue.wgsl";
import gather from "./lib/gather.wgsl";
import bindings from "./lib/gemm.wgsl";
import index from "./lib/index.wgsl";

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
  pad_y: "u32",
  pad_x: "u32",
  extras: "u32",
  activation: "u32",
} as const;

const bind = { x: "read", w: "read", bias: "read", shift: "read", residual: "read", y: "read_write" } as const;

const switches = { elem: "f32", CONV: false, W_ROWS: false };

const subgroup = defineKernel({
  name: "gemm_subgroup",
  files: { ...shared, "gemm_subgroup.wgsl": subgroupSource },
  spec: { ...switches, LANES: 8, ROWS: 16 },
  params,
  bind,
});
const tiled = defineKernel({
  name: "gemm_tiled",
  files: { ...shared, "gemm_tiled.wgsl": tiledSource },
  spec: switches,
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

/** How a product is computed: which kernel, and its tile. */
export interface GemmPlan {
  readonly variant: "subgroup" | "tiled" | "plain";
  readonly rows: number;
  /** Columns of a tile, in vectors. */
  readonly columns4: number;
  readonly spec: Spec;
}

/** Chooses the kernel for m rows. A pure function of the sizes and the device's facts; `forced` overrides it for tests. */
export function planGemm(facts: DeviceFacts, m: number, forced?: string): GemmPlan {
  const lanes = facts.subgroupSize;
  const variant = forced ?? (lanes === undefined ? "tiled" : "subgroup");
  if (variant === "plain") return { variant, rows: 1, columns4: 1, spec: {} };
  if (variant === "tiled") return { variant, rows: 32, columns4: 8, spec: {} };
  if (variant !== "subgroup")
    throw new KernelError("gemm", `no variant named ${variant}: there are subgroup, tiled and plain`);
  if (lanes === undefined)
    throw new KernelError("gemm", `variant subgroup needs a fixed subgroup size, which ${facts.name} lacks`);
  const rows = m <= 4 ? 4 : 16; // 16 rows keep their sums in registers, 32 do not
  return { variant, rows, columns4: lanes, spec: { LANES: lanes, ROWS: rows } };
}

/** What is added and applied to a product before it is stored: activation(sum + bias + shift) + residual. */
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
  const { batches, m, n4, k4, conv, epilogue: post = {} } = call;
  const plan = planGemm(device.facts, m, device.variants["gemm"]);
  const tilesM = Math.ceil(m / plan.rows);
  const tilesN = Math.ceil(n4 / plan.columns4);
  const kernel = { subgroup, tiled, plain }[plan.variant];
  const { nothing } = device;
  device.run(kernel, {
    spec: {
      ...plan.spec,
      elem: call.elem,
      CONV: conv !== undefined,
      W_ROWS: call.wRows ?? false,
    },
    params: {
      m,
      n4,
      k4,
      tiles_m: tilesM,
      tiles_n: plan.variant === "plain" ? batches : tilesN,
      x_first: call.first?.x ?? 0,
      y_first: call.first?.y ?? 0,
      x_batch: call.batchStride?.x ?? 0,
      w_batch: call.batchStride?.w ?? 0,
      y_batch: call.batchStride?.y ?? 0,
      first_shift: post.firstShift ?? 0,
      rows_per_shift: post.rowsPerShift ?? 1,
      ...convParams(conv),
      extras: (post.bias ? 1 : 0) + (post.shift ? 2 : 0) + (post.residual ? 4 : 0),
      activation: activationCode(post.activation),
    },
    bind: {
      x: call.x,
      w: call.w,
      bias: post.bias ?? nothing,
      shift: post.shift ?? nothing,
      residual: post.residual ?? nothing,
      y: call.y,
    },
    groups: plan.variant === "plain" ? Math.ceil((batches * m * n4) / 64) : tilesM * tilesN * batches,
  });
}

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
const specs = ["f32", "f16"].flatMap((elem) => forms.map((form) => ({ elem, ...form })));

export const gemmEntries: readonly KernelEntry[] = [
  {
    kernel: subgroup,
    needs: ["subgroups"],
    specs: specs.flatMap((spec) =>
      [4, 8, 16, 32, 64].flatMap((LANES) => [4, 16].map((ROWS) => ({ ...spec, LANES, ROWS }))),
    ),
  },
  { kernel: tiled, specs },
  { kernel: plain, specs },
];
