import type { Device } from "../gpu/device.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import { chunks, slice } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import index from "./lib/index.wgsl";
import source from "./sum_squares.wgsl";

const WG = 64;
const GROUPS = 4;

const kernel = defineKernel({
  name: "sum_squares",
  files: { "lib/index.wgsl": index, "sum_squares.wgsl": source },
  spec: { elem: "f32", WG },
  params: { count: "u32", first: "u32" },
  bind: { x: "read", shares: "read_write" },
});

export const sumSquaresEntry: KernelEntry = { kernel, specs: [{ elem: "f32" }, { elem: "f16" }] };

export interface Squared {
  readonly view: View;
  readonly count: number;
  readonly elem: "f32" | "f16";
}

/** The sum of squares of each array, by one read for all; Infinity where an element is NaN or infinite. */
export async function sumSquares(device: Device, arrays: readonly Squared[]): Promise<Float64Array> {
  const { limits } = device.facts;
  const parts = arrays.flatMap(({ view, count, elem }, array) => {
    const bytes = elem === "f16" ? 2 : 4;
    return chunks(limits, count, bytes).map(({ start, length }) => {
      return { array, elem, length, x: slice(view, start * bytes, length * bytes) };
    });
  });
  const sums = new Float64Array(arrays.length);
  const most = Math.floor(limits.maxStorageBufferBindingSize / (4 * GROUPS * WG)); // parts to one array of shares
  for (let from = 0; from < parts.length; from += most) {
    const some = parts.slice(from, from + most);
    const shares = device.alloc(some.length * GROUPS * WG * 4);
    for (const [i, { elem, length, x }] of some.entries())
      device.run(kernel, {
        spec: { elem },
        params: { count: length, first: i * GROUPS * WG },
        bind: { x, shares },
        groups: GROUPS,
      });
    try {
      const values = new Float32Array(await device.read(shares));
      for (const [i, value] of values.entries()) sums[some[Math.floor(i / (GROUPS * WG))]!.array]! += value;
    } finally {
      device.release(shares);
    }
  }
  return sums;
}
