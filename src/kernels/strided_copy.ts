import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { OutOfMemoryError } from "../util/errors.ts";
import { bindRange } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import source from "./strided_copy.wgsl";

const WG = 64;
const RUN = 16;
const COPIES = 8; // a job of so few contiguous pieces goes by buffer copies,
const PIECE_BYTES = 16384; // if they are as long as this: a copy ends the compute pass

const kernel = defineKernel({
  name: "strided_copy",
  files: { "lib/index.wgsl": index, "strided_copy.wgsl": source },
  spec: { src_t: "f32", dst_t: "f32", ZERO: false, OUTER: 3, RUN, WG },
  params: {
    items: "u32",
    runs: "u32",
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
  specs: pairs.flatMap(([from, to]) =>
    [0, 1, 2, 3].flatMap((OUTER) => [
      { src_t: from, dst_t: to, OUTER },
      { src_t: `vec4<${from}>`, dst_t: `vec4<${to}>`, OUTER },
      ...(from === to
        ? [
            { src_t: from, dst_t: to, OUTER, ZERO: true },
            { src_t: `vec4<${from}>`, dst_t: `vec4<${to}>`, OUTER, ZERO: true },
          ]
        : []),
    ]),
  ),
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
  const from: Strided =
    src === "zeros" ? { view: device.nothing, elem: dst.elem, first: 0, strides: shape.map(() => 0) } : src;
  const job = merged(shape, from, dst);
  if (src === "zeros" || !copyPieces(device, job)) record(device, folded(job), src === "zeros");
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

const sizeOf = (elem: Elem): number => (elem === "f16" ? 2 : 4);

/** Moves a job of few contiguous pieces by buffer copies, which know no binding limit. Says whether it did. */
function copyPieces(device: Device, { shape, src, dst }: Job): boolean {
  const bytes = sizeOf(src.elem);
  const run = src.strides.at(-1) === 1 && dst.strides.at(-1) === 1 ? (shape.at(-1) ?? 1) : 1;
  const pieces = shape.length > 1 ? shape[0]! : 1;
  const starts = Array.from({ length: Math.min(pieces, COPIES + 1) }, (_, i) => [
    (src.first + (shape.length > 1 ? i * src.strides[0]! : 0)) * bytes,
    (dst.first + (shape.length > 1 ? i * dst.strides[0]! : 0)) * bytes,
  ]);
  const whole = [run * bytes, ...starts.flat()].every((n) => n % 4 === 0);
  if (
    src.elem !== dst.elem ||
    shape.length > 2 ||
    pieces > COPIES ||
    run < (shape.at(-1) ?? 1) ||
    run * bytes < PIECE_BYTES ||
    !whole
  )
    return false;
  for (const [from = 0, to = 0] of starts)
    device.copy(
      { ...src.view, offset: src.view.offset + from, bytes: run * bytes },
      { ...dst.view, offset: dst.view.offset + to, bytes: run * bytes },
    );
  return true;
}

/** A single long dimension as RUN rows, so that threads have runs to walk. */
function folded(job: Job): Job {
  const [size = 1] = job.shape;
  const row = size / RUN;
  if (job.shape.length !== 1 || row % 4 !== 0) return job;
  const fold = (side: Strided): Strided => ({ ...side, strides: [row * side.strides[0]!, side.strides[0]!] });
  return { shape: [RUN, row], src: fold(job.src), dst: fold(job.dst) };
}

/** Bytes that a job touches on one side. */
function extent({ elem, first, strides }: Strided, shape: readonly number[]): { start: number; bytes: number } {
  const size = sizeOf(elem);
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
  if (half < 1)
    throw new OutOfMemoryError(
      "copy",
      `one element needs more than the device binds (${most} bytes)`,
      from.bytes,
      most,
    );
  const part = (start: number, size: number): Job => ({
    shape: job.shape.map((n, i) => (i === at ? size : n)),
    src: { ...job.src, first: job.src.first + start * job.src.strides[at]! },
    dst: { ...job.dst, first: job.dst.first + start * job.dst.strides[at]! },
  });
  record(device, part(0, half), zeros);
  record(device, part(half, job.shape[at]! - half), zeros);
}

function dispatch(
  device: Device,
  { shape, src, dst }: Job,
  zeros: boolean,
  from: { start: number; bytes: number },
  to: { start: number; bytes: number },
): void {
  const { limits } = device.facts;
  const bind = (side: Strided, { start, bytes }: { start: number; bytes: number }) =>
    side.view.bytes <= limits.maxStorageBufferBindingSize
      ? { view: side.view, skip: start }
      : bindRange(limits, side.view, start, bytes);
  const [read, write] = [bind(src, from), bind(dst, to)];
  const [firstA, firstB] = [read.skip / sizeOf(src.elem), write.skip / sizeOf(dst.elem)];
  const four = (n: number) => n % 4 === 0;
  const inner = shape.at(-1) ?? 1;
  const walks = (side: Strided, first: number) =>
    side.strides.at(-1) === 1 && four(first) && side.strides.slice(0, -1).every(four);
  const vector = four(inner) && (zeros || walks(src, firstA)) && walks(dst, firstB);
  const unit = vector ? 4 : 1;
  const sizes = pad5(vector ? [...shape.slice(0, -1), inner / 4] : shape, 1);
  const strides = (side: Strided) =>
    pad5(vector ? [...side.strides.slice(0, -1).map((s) => s / 4), side.strides.at(-1)!] : side.strides, 0);
  const [s, d] = [strides(src), strides(dst)];
  const [size0, size1, size2, size3, size4] = sizes as [number, number, number, number, number];
  const runs = Math.ceil(size3 / RUN);
  const items = size0 * size1 * size2 * runs * size4;
  device.run(kernel, {
    spec: {
      src_t: vector ? `vec4<${src.elem}>` : src.elem,
      dst_t: vector ? `vec4<${dst.elem}>` : dst.elem,
      ZERO: zeros,
      OUTER: Math.max(0, shape.length - 2),
    },
    params: {
      items,
      runs,
      src_first: Math.floor(firstA / unit),
      dst_first: firstB / unit,
      size1,
      size2,
      size3,
      size4,
      ...numbered("src", s),
      ...numbered("dst", d),
    },
    bind: { src: read.view, dst: write.view },
    groups: Math.ceil(items / WG),
  });
}

/** Puts outer dimensions in front until there are five. */
const pad5 = (values: readonly number[], filler: number): number[] => [
  ...new Array<number>(5 - values.length).fill(filler),
  ...values,
];

/** `{ src0: …, src1: …, … }`. */
function numbered<N extends string>(name: N, [v0, v1, v2, v3, v4]: readonly number[]) {
  const entries = [v0, v1, v2, v3, v4].map((value, i) => [`${name}${i}`, value] as const);
  return Object.fromEntries(entries) as Record<`${N}${0 | 1 | 2 | 3 | 4}`, number>;
}
