import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import type { Spec } from "../gpu/wgsl.ts";
import { KernelError } from "../util/errors.ts";
import { bindRange } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import { convParams, type ConvGeometry } from "./gemm.ts";
import index from "./lib/index.wgsl";
import bindings from "./lib/outer.wgsl";
import plainSource from "./outer_plain.wgsl";
import subgroupSource from "./outer_subgroup.wgsl";
import { sum } from "./sum.ts";

const shared = { "lib/index.wgsl": index, "lib/outer.wgsl": bindings };
const params = {
  rows: "u32",
  outputs: "u32",
  o4: "u32",
  k4: "u32",
  tiles_o: "u32",
  tiles_i: "u32",
  batches: "u32",
  split_rows: "u32",
  g_first: "u32",
  x_first: "u32",
  y_first: "u32",
  g_batch: "u32",
  x_batch: "u32",
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
} as const;
const bind = { g: "read", x: "read", y: "read_write" } as const;

const subgroup = defineKernel({
  name: "outer_subgroup",
  files: { ...shared, "outer_subgroup.wgsl": subgroupSource },
  spec: { elem: "f32", LANES: 8, CONV: false, O4: 4 },
  params,
  bind,
});
const plain = defineKernel({
  name: "outer_plain",
  files: { ...shared, "outer_plain.wgsl": plainSource },
  spec: { elem: "f32", CONV: false },
  params,
  bind,
});

const specs = ["f32", "f16"].flatMap((elem) => [false, true].map((CONV) => ({ elem, CONV })));

const TILE_O4 = 4;
// Software adapters pay more for loads than for registers that they lack: each load of x serves more rows there.
const SOFTWARE_O4 = [8, 10];
const SOFTWARE_LANES = [4, 8, 16];

export const outerEntries: readonly KernelEntry[] = [
  {
    kernel: subgroup,
    needs: ["subgroups"],
    specs: specs.flatMap((spec) => [
      ...[4, 8, 16, 32, 64].map((LANES) => ({ ...spec, LANES })),
      ...SOFTWARE_LANES.flatMap((LANES) => SOFTWARE_O4.map((O4) => ({ ...spec, LANES, O4 }))),
    ]),
  },
  { kernel: plain, specs },
];

export interface OuterPlan {
  readonly variant: "subgroup" | "plain";
  /** Rows of a tile of y, in vectors, and columns. */
  readonly rows4: number;
  readonly columns4: number;
  /** Rows that one workgroup adds up. */
  readonly splitRows: number;
  readonly spec: Spec;
}

/**
 * Chooses the kernel, and how many rows go into one sum: long sums are split where tiles alone are too few to keep
 * the device busy, and where they are so long that rounding tells. A pure function; `forced` overrides it for tests.
 * @throws KernelError when the device has no form of that name
 */
export function planOuter(
  facts: DeviceFacts,
  { rows, o4, k4, taps }: { rows: number; o4: number; k4: number; taps: number },
  forced?: string,
): OuterPlan {
  // this kernel does not ask for a size, and 128 lanes would need more workgroup memory than every device has
  const lanes = facts.pinned || (facts.subgroupSize ?? 0) > 64 ? undefined : facts.subgroupSize;
  const names = lanes === undefined ? ["plain"] : ["subgroup", "plain"];
  if (forced !== undefined && !names.includes(forced))
    throw new KernelError("outer", `no variant named ${forced} on ${facts.name}: there are ${names.join(", ")}`);
  const bySubgroup = lanes !== undefined && (forced ?? "subgroup") === "subgroup";
  const columns4 = bySubgroup ? lanes : 16;
  const wide = bySubgroup && facts.isSoftware && SOFTWARE_LANES.includes(lanes);
  const rows4 = wide ? bestTile(o4, [TILE_O4, ...SOFTWARE_O4]) : TILE_O4;
  const tiles = Math.ceil(o4 / rows4) * Math.ceil(k4 / columns4) * taps;
  const wanted = Math.ceil((facts.isSoftware ? 16 : 1024) / tiles);
  const splitRows = Math.min(2048, Math.max(256, Math.ceil(rows / wanted / 64) * 64));
  const spec = bySubgroup ? { LANES: lanes, O4: rows4 } : {};
  return { variant: bySubgroup ? "subgroup" : "plain", rows4, columns4, splitRows, spec };
}

/** The size, of some in ascending order, whose tiles waste least of `n`; of equal ones the largest. */
function bestTile(n: number, sizes: readonly number[]): number {
  const covered = (size: number) => Math.ceil(n / size) * size;
  return sizes.reduce((best, size) => (covered(size) <= covered(best) ? size : best));
}

/** Some of the rows, as one binding holds them. */
export interface OuterPart {
  readonly g: View;
  readonly x: View;
  /** Rows of one batch. */
  readonly rows: number;
  /** Vectors between the start of a binding and the operand. */
  readonly first: { readonly g: number; readonly x: number };
  readonly conv?: ConvGeometry;
  /** Vectors from one batch (of a convolution: one image) of x to the next. */
  readonly xBatch?: number;
  readonly gBatch?: number;
}

export interface OuterCall {
  readonly elem: "f32" | "f16";
  readonly batches: number;
  /** Columns of g that count; its rows are padded to vectors. */
  readonly outputs: number;
  /** Vectors of a row of x. */
  readonly k4: number;
  readonly taps: number;
  readonly parts: readonly OuterPart[];
  /** f32 [batches][taps][outputs][4 · k4]. */
  readonly y: View;
}

/** Records y[o, i] = Σ g[row, o] · x[row, i] for each tap of each batch. */
export function outer(device: Device, { elem, batches, outputs, k4, taps, parts, y }: OuterCall): void {
  const { limits } = device.facts;
  const o4 = Math.ceil(outputs / 4);
  const most = Math.max(...parts.map((part) => part.rows));
  const plan = planOuter(device.facts, { rows: most, o4, k4, taps }, device.variants["outer"]);
  const splitsOf = (part: OuterPart) => Math.ceil(part.rows / plan.splitRows);
  const splits = parts.reduce((total, part) => total + splitsOf(part), 0);
  const size = batches * taps * outputs * k4 * 16;
  const sums = splits === 1 ? y : device.alloc(splits * size);
  const [tilesO, tilesI] = [Math.ceil(o4 / plan.rows4), Math.ceil(k4 / plan.columns4)];
  let split = 0;
  for (const part of parts) {
    const own = splitsOf(part);
    const to = bindRange(limits, sums, split * size, own * size);
    device.run(plan.variant === "subgroup" ? subgroup : plain, {
      spec: { ...plan.spec, elem, CONV: part.conv !== undefined },
      params: {
        rows: part.rows,
        outputs,
        o4,
        k4,
        tiles_o: tilesO,
        tiles_i: tilesI,
        batches,
        split_rows: plan.splitRows,
        g_first: part.first.g,
        x_first: part.first.x,
        y_first: to.skip / 16,
        g_batch: part.gBatch ?? 0,
        x_batch: part.xBatch ?? 0,
        ...convParams(part.conv),
      },
      bind: { g: part.g, x: part.x, y: to.view },
      groups: tilesO * tilesI * taps * batches * own,
    });
    split += own;
  }
  if (splits === 1) return;
  sum(device, { x: sums, y, from: "f32", to: "f32", sizes: [1, splits, size / 4] });
  device.release(sums);
}
