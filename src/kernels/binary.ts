import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { bindRange, chunks, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import source from "./binary.wgsl";
import index from "./lib/index.wgsl";

const WG = 64;

/** Operations; the order is that of OP in binary.wgsl. */
export const BINARY_OPS = ["add", "sub", "mul", "div", "max", "min"] as const;
export type BinaryOp = (typeof BINARY_OPS)[number];

const kernel = defineKernel({
  name: "binary",
  files: { "lib/index.wgsl": index, "binary.wgsl": source },
  spec: { item_t: "vec4<f32>", wide_t: "vec4<f32>", OP: 0, MODE: 0, SWAP: false, WG },
  params: {
    items: "u32",
    first: "u32",
    suffix: "u32",
    number: "f32",
    a_first: "u32",
    b_first: "u32",
    y_first: "u32",
    size1: "u32",
    size2: "u32",
    size3: "u32",
    size4: "u32",
    a0: "u32",
    a1: "u32",
    a2: "u32",
    a3: "u32",
    a4: "u32",
    b0: "u32",
    b1: "u32",
    b2: "u32",
    b3: "u32",
    b4: "u32",
  },
  bind: { a: "read", b: "read", y: "read_write" },
});

type Elem = "f32" | "f16";

const typesOf = (elem: Elem, vector: boolean) =>
  vector ? { item_t: `vec4<${elem}>`, wide_t: "vec4<f32>" } : { item_t: elem, wide_t: "f32" };

export const binaryEntry: KernelEntry = {
  kernel,
  specs: (["f32", "f16"] as const).flatMap((elem) =>
    BINARY_OPS.flatMap((_, OP) =>
      [0, 1, 2].flatMap((MODE) => [false, true].map((SWAP) => ({ ...typesOf(elem, MODE !== 2), OP, MODE, SWAP }))),
    ),
  ),
};

const none = {
  a_first: 0,
  b_first: 0,
  y_first: 0,
  size1: 1,
  size2: 1,
  size3: 1,
  size4: 1,
  a0: 0,
  a1: 0,
  a2: 0,
  a3: 0,
  a4: 0,
  b0: 0,
  b1: 0,
  b2: 0,
  b3: 0,
  b4: 0,
};

export interface BinaryCall {
  readonly op: BinaryOp;
  readonly elem: Elem;
  readonly a: View;
  readonly y: View;
  /** Elements of the result. */
  readonly count: number;
  /** b ∘ a instead of a ∘ b. */
  readonly swap?: boolean;
}

/** y = a ∘ number. */
export function binaryNumber(device: Device, call: BinaryCall, number: number): void {
  flat(device, call, 1, device.nothing, { MODE: 1, number, suffix: 1 });
}

/** y = a ∘ b where b, of `suffix` elements (a multiple of 4, or of as many as a), repeats along a. */
export function binarySuffix(device: Device, call: BinaryCall, b: View, suffix: number): void {
  if (suffix !== call.count && b.bytes > device.facts.limits.maxStorageBufferBindingSize) {
    const { swap = false, a } = call; // larger than a binding: cut as strided operands are
    const shape = [call.count / suffix, suffix];
    const operands = swap ? ([b, a] as const) : ([a, b] as const);
    const strides = (view: View) => (view === b ? [0, 1] : [suffix, 1]);
    binaryStrided(device, { ...call, a: operands[0] }, operands[1], shape, strides(operands[0]), strides(operands[1]));
    return;
  }
  flat(device, call, suffix, b, { MODE: 0, number: 0, suffix: Math.ceil(suffix / 4) });
}

function flat(
  device: Device,
  { op, elem, a, y, count, swap = false }: BinaryCall,
  suffixElements: number,
  b: View,
  { MODE, number, suffix }: { MODE: number; number: number; suffix: number },
): void {
  const bytes = elem === "f16" ? 2 : 4;
  for (const { start, length } of chunks(device.facts.limits, count, bytes)) {
    const items = Math.ceil(length / 4);
    const whole = suffixElements === count; // b is as long as a and is cut with it
    device.run(kernel, {
      spec: { ...typesOf(elem, true), OP: BINARY_OPS.indexOf(op), MODE, SWAP: swap },
      params: { ...none, items, first: whole ? 0 : start / 4, suffix: whole ? items : suffix, number },
      bind: {
        a: slice(a, start * bytes, length * bytes),
        b: whole ? slice(b, start * bytes, length * bytes) : b,
        y: slice(y, start * bytes, length * bytes),
      },
      groups: Math.ceil(items / WG),
    });
  }
}

/** y = a ∘ b with strides (0 where an operand repeats) over a result of at most five sizes. */
export function binaryStrided(
  device: Device,
  call: BinaryCall,
  b: View,
  shape: readonly number[],
  aStrides: readonly number[],
  bStrides: readonly number[],
): void {
  const five = (values: readonly number[], filler: number) => [
    ...new Array<number>(5 - values.length).fill(filler),
    ...values,
  ];
  const sizes = five(shape, 1);
  const a: Operand = { view: call.a, first: 0, strides: five(aStrides, 0) };
  record(device, call, sizes, a, { view: b, first: 0, strides: five(bStrides, 0) }, 0);
}

interface Operand {
  readonly view: View;
  /** In elements. */
  readonly first: number;
  readonly strides: readonly number[];
}

/** Halves the outermost dimension until the result and both operands fit into bindings. */
function record(
  device: Device,
  call: BinaryCall,
  sizes: readonly number[],
  a: Operand,
  b: Operand,
  yFirst: number,
): void {
  const { limits } = device.facts;
  const { op, elem } = call;
  const bytes = elem === "f16" ? 2 : 4;
  const count = sizes.reduce((x, y) => x * y, 1);
  const span = ({ strides }: Operand) => sizes.reduce((sum, n, i) => sum + (n - 1) * strides[i]!, 1);
  const most = limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);
  const at = sizes.findIndex((n) => n > 1);
  if (at >= 0 && Math.max(count, span(a), span(b)) * bytes > most) {
    const half = Math.ceil(sizes[at]! / 2);
    const later = (side: Operand): Operand => ({ ...side, first: side.first + half * side.strides[at]! });
    record(device, call, sizes.with(at, half), a, b, yFirst);
    record(device, call, sizes.with(at, sizes[at]! - half), later(a), later(b), yFirst + half * (count / sizes[at]!));
    return;
  }
  const bound = (view: View, first: number, length: number) => bindRange(limits, view, first * bytes, length * bytes);
  const [left, right, result] = [
    bound(a.view, a.first, span(a)),
    bound(b.view, b.first, span(b)),
    bound(call.y, yFirst, count),
  ];
  const [, size1, size2, size3, size4] = sizes as [number, number, number, number, number];
  const [a0, a1, a2, a3, a4] = a.strides as [number, number, number, number, number];
  const [b0, b1, b2, b3, b4] = b.strides as [number, number, number, number, number];
  const firsts = { a_first: left.skip / bytes, b_first: right.skip / bytes, y_first: result.skip / bytes };
  device.run(kernel, {
    spec: { ...typesOf(elem, false), OP: BINARY_OPS.indexOf(op), MODE: 2 },
    params: {
      items: count,
      first: 0,
      suffix: 1,
      number: 0,
      ...firsts,
      ...{ size1, size2, size3, size4 },
      ...{ a0, a1, a2, a3, a4 },
      ...{ b0, b1, b2, b3, b4 },
    },
    bind: { a: left.view, b: right.view, y: result.view },
    groups: Math.ceil(count / WG),
  });
}
