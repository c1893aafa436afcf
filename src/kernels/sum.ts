import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bindRange, ranges } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
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
export function sum(device: Device, { x, y, from, to, sizes, factor = 1 }: SumCall): void {
  let [source, elem]: [View, Elem] = [x, from];
  const [outer, , inner] = sizes;
  for (let middle = sizes[1]; ;) {
    const chunks = Math.ceil(middle / CHUNK);
    const last = chunks === 1;
    const target = last ? y : device.alloc(outer * chunks * inner * 4);
    pass(device, { x: source, y: target, from: elem, to: last ? to : "f32", factor: last ? factor : 1 }, [
      outer,
      middle,
      inner,
    ]);
    if (source !== x) device.release(source);
    if (last) return;
    [source, elem, middle] = [target, "f32", chunks];
  }
}

const bytesOf = (elem: Elem) => (elem === "f16" ? 2 : 4);

/** One pass; what a binding cannot hold goes in bands of chunks of one outer entry. */
function pass(
  device: Device,
  { x, y, from, to, factor }: Required<Omit<SumCall, "sizes">>,
  [outer, middle, inner]: SumCall["sizes"],
): void {
  const { limits } = device.facts;
  const chunks = Math.ceil(middle / CHUNK);
  const vector = inner % 4 === 0;
  const unit = vector ? 4 : 1;
  const [xRow, yRow] = [inner * bytesOf(from), inner * bytesOf(to)];
  const dispatch = (rows: { outer: number; middle: number }, first: { x: number; y: number }) => {
    const own = Math.ceil(rows.middle / CHUNK);
    const read = bindRange(limits, x, first.x * xRow, rows.outer * rows.middle * xRow);
    const write = bindRange(limits, y, first.y * yRow, rows.outer * own * yRow);
    const items = (rows.outer * own * inner) / unit;
    device.run(kernel, {
      spec: types(from, to, vector),
      params: {
        items,
        inner: inner / unit,
        middle: rows.middle,
        chunk: CHUNK,
        chunks: own,
        x_first: read.skip / bytesOf(from) / unit,
        y_first: write.skip / bytesOf(to) / unit,
        factor,
      },
      bind: { x: read.view, y: write.view },
      groups: Math.ceil(items / WG),
    });
  };
  const room = limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);
  if (Math.max(outer * middle * xRow, outer * chunks * yRow) <= room)
    return dispatch({ outer, middle }, { x: 0, y: 0 });
  const most = Math.max(1, Math.floor(room / Math.max(CHUNK * xRow, yRow)));
  for (let o = 0; o < outer; o++)
    for (const { start, length } of ranges(chunks, most)) {
      const own = Math.min(length * CHUNK, middle - start * CHUNK);
      dispatch({ outer: 1, middle: own }, { x: o * middle + start * CHUNK, y: o * chunks + start });
    }
}
