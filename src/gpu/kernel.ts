import { KernelError } from "../util/errors.ts";
import type { Spec, SpecValue } from "./wgsl.ts";
import type { GpuBuffer } from "./buffers.ts";

export type ParamType = "u32" | "i32" | "f32";
export type Access = "read" | "read_write";

/** A range of a GPU buffer, in bytes. */
export interface View {
  /** The buffer, which others may share. */
  readonly buffer: GpuBuffer;
  /** Where it begins. */
  readonly offset: number;
  /** How long it is. */
  readonly bytes: number;
}

/**
 * One `.wgsl` kernel. `files` are joined in order, the kernel's own file last; `params` mirrors `struct Params`
 * without its first member `groups: u32`, which is always the number of workgroups asked for; `bind` lists the
 * storage bindings, numbered from 1 on.
 */
export interface Kernel<P extends string = string, B extends string = string> {
  /** What errors and profiles call it. */
  readonly name: string;
  /** WGSL, in the order in which it is joined. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
  /** Defaults of the constants between `//!spec` and `//!end`. */
  readonly spec: Spec;
  /** Members of `struct Params` after `groups`, in order. */
  readonly params: Readonly<Record<P, ParamType>>;
  /** Storage bindings, in order from 1 on. */
  readonly bind: Readonly<Record<B, Access>>;
}

type Widen<T> = T extends number ? number : T extends boolean ? boolean : string;

/** One dispatch: every parameter and binding of the kernel, and how many workgroups (any number: it is folded into two dimensions). */
export interface Dispatch<P extends string, B extends string> {
  /** Constants that are not the kernel's defaults. Each set of values is a pipeline of its own. */
  readonly spec?: Readonly<Record<string, SpecValue>>;
  /** Numbers of this dispatch. */
  readonly params: Readonly<Record<P, number>>;
  /** Memory that it reads and writes: `tensor.view`, or `device.nothing`. */
  readonly bind: Readonly<Record<B, View>>;
  /** Workgroups, 1 or more. */
  readonly groups: number;
}

/** What `defineKernel` is told. */
export interface KernelDeclaration<P extends string, B extends string, S extends Record<string, SpecValue>> {
  /** What errors and profiles call it. */
  readonly name: string;
  /** WGSL by file name, the kernel's own file last. */
  readonly files: Readonly<Record<string, string>>;
  /** Defaults of the constants between `//!spec` and `//!end`: numbers, booleans, and types as text ("f16"). */
  readonly spec: { readonly [K in keyof S]: Widen<S[K]> };
  /** Members of `struct Params` after `groups`, in order. */
  readonly params: Readonly<Record<P, ParamType>>;
  /** Storage bindings, in order from 1 on. */
  readonly bind: Readonly<Record<B, Access>>;
}

/** Declares a kernel; misspelt parameters and bindings at a call are compile errors. */
export function defineKernel<const P extends string, const B extends string, const S extends Record<string, SpecValue>>(
  declaration: KernelDeclaration<P, B, S>,
): Kernel<P, B> {
  const files = Object.entries(declaration.files).map(([name, text]) => ({ name, text }));
  return { ...declaration, files, spec: declaration.spec as Spec };
}

/** Key of a pipeline, and the name that errors and profiles show: `conv2d {elem: f16, ROWS: 8}`. */
export function variantName(kernel: Kernel, spec: Spec): string {
  const pairs = Object.keys(spec)
    .sort()
    .map((name) => `${name}: ${spec[name]}`);
  return `${kernel.name} {${pairs.join(", ")}}`;
}

/** The content of `struct Params`: `groups`, then the kernel's own. @throws KernelError naming one that is missing or has no such type */
export function packParams(kernel: Kernel, params: Readonly<Record<string, number>>, groups: number): ArrayBuffer {
  const names = Object.keys(kernel.params);
  const view = new DataView(new ArrayBuffer(4 * (names.length + 1)));
  view.setUint32(0, groups, true);
  for (const [i, name] of names.entries()) {
    const value = params[name];
    const type = kernel.params[name];
    if (value === undefined) throw new KernelError(kernel.name, `parameter ${name} is missing`);
    if (type === "f32") view.setFloat32(4 * i + 4, value, true);
    else if (value !== (type === "u32" ? value >>> 0 : value | 0))
      throw new KernelError(kernel.name, `parameter ${name} is ${value}`);
    else if (type === "u32") view.setUint32(4 * i + 4, value, true);
    else view.setInt32(4 * i + 4, value, true);
  }
  return view.buffer;
}
