import type { DeviceLimits } from "../gpu/facts.ts";
import type { View } from "../gpu/kernel.ts";

/** Part of a view. `offset` must be a multiple of the device's storage offset alignment; `chunks` and `rowBands` see to it. */
export const slice = (view: View, offset: number, bytes: number): View => ({
  get buffer() {
    return view.buffer; // asked for late: memory that is only reserved is taken when work first uses it
  },
  offset: view.offset + offset,
  bytes,
});

export interface Range {
  readonly start: number;
  readonly length: number;
}

/** Splits `count` elements into ranges that one binding can hold; every start is aligned for a binding's offset. */
export function chunks(limits: DeviceLimits, count: number, bytesPerElement: number): Range[] {
  const unit = 256; // elements: 512 bytes or more, a multiple of every alignment WebGPU allows
  const most = Math.max(unit, Math.floor(limits.maxStorageBufferBindingSize / bytesPerElement / unit) * unit);
  return ranges(count, most);
}

/** Consecutive ranges of at most `most`. */
export function ranges(count: number, most: number): Range[] {
  const found: Range[] = [];
  for (let start = 0; start < count; start += most) found.push({ start, length: Math.min(most, count - start) });
  return found;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** How many rows of `rowBytes` lie between two places where a binding may start. */
export const alignedRows = (limits: DeviceLimits, rowBytes: number): number => {
  const align = Math.max(16, limits.minStorageBufferOffsetAlignment);
  return align / gcd(align, rowBytes);
};

/** Splits `rows` rows of `rowBytes` into bands that one binding can hold, each starting where a binding may start. */
export const rowBands = (limits: DeviceLimits, rows: number, rowBytes: number): Range[] =>
  bandsOf(limits, rows, [rowBytes]);

/** The same for several tensors cut at the same rows, each with its own bytes a row. */
export function bandsOf(limits: DeviceLimits, rows: number, rowBytes: readonly number[]): Range[] {
  const unit = Math.max(...rowBytes.map((bytes) => alignedRows(limits, bytes))); // powers of two: the largest serves all
  const most = Math.floor(limits.maxStorageBufferBindingSize / Math.max(...rowBytes) / unit) * unit;
  return ranges(rows, Math.max(unit, most));
}

/** A binding that covers bytes [start, start + bytes) of a view: it begins at or before them, `skip` bytes earlier. */
export function bindRange(
  limits: DeviceLimits,
  view: View,
  start: number,
  bytes: number,
): { view: View; skip: number } {
  const skip = start % Math.max(16, limits.minStorageBufferOffsetAlignment);
  return { view: slice(view, start - skip, bytes + skip), skip };
}
