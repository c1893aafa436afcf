import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bindRange, ranges } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import { stridedCopy } from "./strided_copy.ts";
import source from "./sum.wgsl";

const WG = 64;
const CHUNK = 64; // few enough to keep rounding small, and to leave threads to a device

const kernel = defineKernel({
  name: "sum",
  files: { "lib/index.wgsl": index, "sum.wgsl": source },
  spec: { src_t: "vec4<f32>", dst_t: "vec4<f32>", wide_t: "vec4<f32>", WG },
  params: {
    items: "u32",
    inner: "u32",
    middle: "u32",
    chunk: "u32",
    chunks: "u32",
    x_first: "u32",
    y_first: "u32",
    factor: "f32",
  },
  bind: { x: "read", y: "read_write" },
});

type Elem = "f32" | "f16";

const types = (from: Elem, to: Elem, vector: boolean) =>
  vector
    ? { src_t: `vec4<${from}>`, dst_t: `vec4<${to}>`, wide_t: "vec4<f32>" }
    : { src_t: from, dst_t: to, wide_t: "f32" };

export const sumEntry: KernelEntry = {
  kernel,
  specs: (["f32", "f16"] as const).flatMap((from) =>
    (["f32", "f16"] as const).flatMap((to) => [true, false].map((vector) => types(from, to, vector))),
  ),
};

export interface SumCall {
  readonly x: View;
  readonly y: View;
  readonly from: Elem;
  readonly to: Elem;
  /** Sizes of x: the dimensions before the summed ones, the summed ones, and those after. */
  readonly sizes: readonly [outer: number, middle: number, inner: number];
  /** What the sum is multiplied by. Default 1. */
  readonly factor?: number;
}

/** y[outer, inner] = factor · Σ x[outer, middle, inner] over the middle. */
export function sum(device: Device, call: SumCall): void {
  const { from, sizes } = call;
  const [outer, middle, inner] = sizes;
  const room = roomFor(device);
  const chunk = Math.min(CHUNK, Math.floor(room / (inner * bytesOf(from))), Math.floor(room / (inner * 4)));
  if (chunk < 2 && middle > 1) return byColumns(device, call, Math.floor(room / 4 / CHUNK));
  let source: { view: View; elem: Elem; middle: number } = { view: call.x, elem: from, middle };
  for (;;) {
    const chunks = Math.ceil(source.middle / Math.max(chunk, 1));
    const last = chunks === 1;
    const target = last ? call.y : device.alloc(outer * chunks * inner * 4);
    const done = { from: source.elem, to: last ? call.to : "f32", factor: last ? (call.factor ?? 1) : 1 } as const;
    pass(device, { ...done, x: source.view, y: target, chunk: Math.max(chunk, 1) }, [outer, source.middle, inner]);
    if (source.view !== call.x) device.release(source.view);
    if (last) return;
    source = { view: target, elem: "f32", middle: chunks };
  }
}

const bytesOf = (elem: Elem) => (elem === "f16" ? 2 : 4);

const roomFor = ({ facts: { limits } }: Device) =>
  limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);

/** Rows so wide that a binding does not hold two: their columns are copied out some at a time. */
function byColumns(device: Device, call: SumCall, most: number): void {
  const { x, y, from, to, sizes, factor = 1 } = call;
  const [outer, middle, inner] = sizes;
  for (const { start, length } of ranges(inner, Math.max(4, most - (most % 4)))) {
    const [part, result] = [
      device.alloc(outer * middle * length * bytesOf(from)),
      device.alloc(outer * length * bytesOf(to)),
    ];
    const narrow = (view: View, elem: Elem, strides: number[]) => ({ view, elem, first: 0, strides });
    const wide = (view: View, elem: Elem, strides: number[]) => ({ view, elem, first: start, strides });
    const own = [middle * length, length, 1];
    stridedCopy(device, [outer, middle, length], wide(x, from, [middle * inner, inner, 1]), narrow(part, from, own));
    sum(device, { x: part, y: result, from, to, sizes: [outer, middle, length], factor });
    stridedCopy(device, [outer, length], narrow(result, to, [length, 1]), wide(y, to, [inner, 1]));
    device.release(part);
    device.release(result);
  }
}

/** One pass; what a binding cannot hold goes in bands of chunks of one outer entry. */
function pass(
  device: Device,
  { x, y, from, to, factor, chunk }: Required<Omit<SumCall, "sizes">> & { chunk: number },
  [outer, middle, inner]: SumCall["sizes"],
): void {
  const { limits } = device.facts;
  const chunks = Math.ceil(middle / chunk);
  const unit = inner % 4 === 0 ? 4 : 1;
  const [xRow, yRow] = [inner * bytesOf(from), inner * bytesOf(to)];
  const dispatch = (rows: { outer: number; middle: number }, first: { x: number; y: number }) => {
    const own = Math.ceil(rows.middle / chunk);
    const read = bindRange(limits, x, first.x * xRow, rows.outer * rows.middle * xRow);
    const write = bindRange(limits, y, first.y * yRow, rows.outer * own * yRow);
    const items = (rows.outer * own * inner) / unit;
    device.run(kernel, {
      spec: types(from, to, unit === 4),
      params: {
        items,
        inner: inner / unit,
        middle: rows.middle,
        chunk,
        chunks: own,
        x_first: read.skip / bytesOf(from) / unit,
        y_first: write.skip / bytesOf(to) / unit,
        factor,
      },
      bind: { x: read.view, y: write.view },
      groups: Math.ceil(items / WG),
    });
  };
  const room = roomFor(device);
  if (Math.max(outer * middle * xRow, outer * chunks * yRow) <= room)
    return dispatch({ outer, middle }, { x: 0, y: 0 });
  const rowsOut = Math.max(1, Math.floor(room / Math.max(chunk * xRow, yRow)));
  // whole outer entries where one fits, else bands of one
  const entries = Math.floor(room / Math.max(middle * xRow, chunks * yRow));
  if (entries >= 1) {
    for (const { start, length } of ranges(outer, entries))
      dispatch({ outer: length, middle }, { x: start * middle, y: start * chunks });
    return;
  }
  for (let o = 0; o < outer; o++)
    for (const { start, length } of ranges(chunks, rowsOut)) {
      const own = Math.min(length * chunk, middle - start * chunk);
      dispatch({ outer: 1, middle: own }, { x: o * middle + start * chunk, y: o * chunks + start });
    }
}
