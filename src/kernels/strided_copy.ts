import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { OutOfMemoryError } from "../util/errors.ts";
import { bindRange } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import source from "./strided_copy.wgsl";

const WG = 64;

const kernel = defineKernel({
  name: "strided_copy",
  files: { "lib/index.wgsl": index, "strided_copy.wgsl": source },
  spec: { src_t: "f32", dst_t: "f32", ZERO: false, WG },
  params: {
    items: "u32",
    src_first: "u32",
    dst_first: "u32",
    size1: "u32",
    size2: "u32",
    size3: "u32",
    size4: "u32",
    src0: "u32",
    src1: "u32",
    src2: "u32",
    src3: "u32",
    src4: "u32",
    dst0: "u32",
    dst1: "u32",
    dst2: "u32",
    dst3: "u32",
    dst4: "u32",
  },
  bind: { src: "read", dst: "read_write" },
});

type Elem = "f32" | "f16" | "i32";

const pairs: readonly (readonly [Elem, Elem])[] = [
  ["f32", "f32"],
  ["f16", "f16"],
  ["f32", "f16"],
  ["f16", "f32"],
  ["i32", "i32"],
  ["i32", "f32"],
];

export const stridedCopyEntry: KernelEntry = {
  kernel,
  specs: pairs.flatMap(([from, to]) => [
    { src_t: from, dst_t: to },
    { src_t: `vec4<${from}>`, dst_t: `vec4<${to}>` },
    { src_t: from, dst_t: to, ZERO: true },
  ]),
};

/** One side of a copy: where it begins and how far apart neighbours are, in elements. */
export interface Strided {
  readonly view: View;
  readonly elem: Elem;
  readonly first: number;
  readonly strides: readonly number[];
}

/** Copies `shape` (at most five sizes) from one strided place to another, or fills it with zeros. */
export function stridedCopy(device: Device, shape: readonly number[], src: Strided | "zeros", dst: Strided): void {
  if (shape.some((size) => size === 0)) return;
  const from: Strided = src === "zeros" ? { view: device.nothing, elem: dst.elem, first: 0, strides: shape.map(() => 0) } : src;
  record(device, merged(shape, from, dst), src === "zeros");
}

interface Job {
  readonly shape: readonly number[];
  readonly src: Strided;
  readonly dst: Strided;
}

/** Drops sizes of one and joins dimensions that both sides walk without a gap. */
function merged(shape: readonly number[], src: Strided, dst: Strided): Job {
  const sizes: number[] = [];
  const [a, b]: [number[], number[]] = [[], []];
  for (const [i, size] of shape.entries()) {
    if (size === 1) continue;
    const [s, d] = [src.strides[i]!, dst.strides[i]!];
    if (sizes.length > 0 && a.at(-1) === s * size && b.at(-1) === d * size) {
      sizes[sizes.length - 1]! *= size;
      a[a.length - 1] = s;
      b[b.length - 1] = d;
    } else {
      sizes.push(size);
      a.push(s);
      b.push(d);
    }
  }
  return { shape: sizes, src: { ...src, strides: a }, dst: { ...dst, strides: b } };
}

/** Bytes that a job touches on one side. */
function extent({ elem, first, strides }: Strided, shape: readonly number[]): { start: number; bytes: number } {
  const size = elem === "f16" ? 2 : 4;
  const last = shape.reduce((sum, n, i) => sum + (n - 1) * strides[i]!, 0);
  return { start: first * size, bytes: (last + 1) * size };
}

/** Halves a job along its outermost dimension until both sides fit into bindings. */
function record(device: Device, job: Job, zeros: boolean): void {
  const { limits } = device.facts;
  const most = limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);
  const [from, to] = [extent(job.src, job.shape), extent(job.dst, job.shape)];
  const whole = limits.maxStorageBufferBindingSize;
  const fits = (side: Strided, { bytes }: { bytes: number }) => side.view.bytes <= whole || bytes <= most;
  if (fits(job.src, from) && fits(job.dst, to)) return dispatch(device, job, zeros, from, to);
  // the dimension that spans most is the one to split
  const spans = job.shape.map((n, i) => (n < 2 ? 0 : (n - 1) * Math.max(job.src.strides[i]!, job.dst.strides[i]!)));
  const at = spans.indexOf(Math.max(...spans));
  const half = Math.floor((job.shape[at] ?? 0) / 2);
  if (half < 1) throw new OutOfMemoryError("copy", `one element needs more than the device binds (${most} bytes)`, from.bytes, most);
  const part = (start: number, size: number): Job => ({
    shape: job.shape.map((n, i) => (i === at ? size : n)),
    src: { ...job.src, first: job.src.first + start * job.src.strides[at]! },
    dst: { ...job.dst, first: job.dst.first + start * job.dst.strides[at]! },
  });
  record(device, part(0, half), zeros);
  record(device, part(half, job.shape[at]! - half), zeros);
}

function dispatch(device: Device, { shape, src, dst }: Job, zeros: boolean, from: { start: number; bytes: number }, to: { start: number; bytes: number }): void {
  const { limits } = device.facts;
  const bind = (side: Strided, { start, bytes }: { start: number; bytes: number }) =>
    side.view.bytes <= limits.maxStorageBufferBindingSize ? { view: side.view, skip: start } : bindRange(limits, side.view, start, bytes);
  const [read, write] = [bind(src, from), bind(dst, to)];
  const [a, b] = [src.elem === "f16" ? 2 : 4, dst.elem === "f16" ? 2 : 4];
  const [firstA, firstB] = [read.skip / a, write.skip / b];
  const four = (n: number) => n % 4 === 0;
  const inner = shape.at(-1) ?? 1;
  const vector =
    four(inner) && src.strides.at(-1) === 1 && dst.strides.at(-1) === 1 && four(firstA) && four(firstB) &&
    src.strides.slice(0, -1).every(four) && dst.strides.slice(0, -1).every(four);
  const unit = vector ? 4 : 1;
  const sizes = pad5(vector ? [...shape.slice(0, -1), inner / 4] : shape, 1);
  const strides = (side: Strided) => pad5(vector ? [...side.strides.slice(0, -1).map((s) => s / 4), 1] : side.strides, 0);
  const [s, d] = [strides(src), strides(dst)];
  const items = sizes.reduce((x, y) => x * y, 1);
  device.run(kernel, {
    spec: { src_t: vector ? `vec4<${src.elem}>` : src.elem, dst_t: vector ? `vec4<${dst.elem}>` : dst.elem, ZERO: zeros },
    params: {
      items,
      src_first: firstA / unit,
      dst_first: firstB / unit,
      size1: sizes[1]!,
      size2: sizes[2]!,
      size3: sizes[3]!,
      size4: sizes[4]!,
      src0: s[0]!,
      src1: s[1]!,
      src2: s[2]!,
      src3: s[3]!,
      src4: s[4]!,
      dst0: d[0]!,
      dst1: d[1]!,
      dst2: d[2]!,
      dst3: d[3]!,
      dst4: d[4]!,
    },
    bind: { src: read.view, dst: write.view },
    groups: Math.ceil(items / WG),
  });
}

/** Puts outer dimensions in front until there are five. */
const pad5 = (values: readonly number[], filler: number): number[] => [...new Array<number>(5 - values.length).fill(filler), ...values];
