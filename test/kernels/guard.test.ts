import { afterAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import type { View } from "../../src/gpu/kernel.ts";
import { attention } from "../../src/kernels/attention.ts";
import { binaryNumber, binaryStrided, binarySuffix } from "../../src/kernels/binary.ts";
import { gather } from "../../src/kernels/gather.ts";
import { geglu } from "../../src/kernels/geglu.ts";
import { gemm, type ConvGeometry } from "../../src/kernels/gemm.ts";
import { groupNorm } from "../../src/kernels/group_norm.ts";
import { convert, pack } from "../../src/kernels/pack.ts";
import { resample, type ResampleMode } from "../../src/kernels/resample.ts";
import { layerNorm, softmax } from "../../src/kernels/rows.ts";
import { stridedCopy } from "../../src/kernels/strided_copy.ts";
import { unary } from "../../src/kernels/unary.ts";
import { weightedSum } from "../../src/kernels/weighted_sum.ts";
import { requestDevice } from "../../src/node/device.ts";
import { decodeF16, encodeF16 } from "../../src/util/float16.ts";
import { normal, swiftShader } from "../helpers.ts";

// Kernels take views. Here every view lies inside a larger buffer whose other bytes are a pattern: NaNs to whoever
// reads them, and proof of whoever writes them. Out-of-range writes are clamped to the binding silently, so the device
// binds a guard band more than the view (see `guard`).

type Elem = "f32" | "f16";

const AROUND = 1024; // bytes of pattern before and behind; a multiple of every binding alignment
const PATTERN = 0xff;
const vectors = (bytes: number) => Math.ceil(bytes / 16) * 16; // the last vector of a view may hold garbage

/** Where a case gets its operands. */
interface Memory {
  /** Seeded numbers. */
  x(seed: number, count: number, elem?: Elem): View;
  ids(values: readonly number[]): View;
  /** What the kernel writes. */
  y(count: number, elem?: Elem): View;
}

interface Setting {
  readonly gpu: Device;
  readonly elem: Elem;
}

const conv: ConvGeometry = {
  kernel: [3, 3],
  input: [5, 7],
  outWidth: 7,
  outPixels: 35,
  stride: [1, 1],
  pad: [1, 1],
  firstInRow: 0,
  firstOutRow: 0,
};

const resampling =
  (mode: ResampleMode, c: number) =>
  ({ gpu, elem }: Setting, m: Memory): void =>
    resample(gpu, {
      ...{ mode, elem, images: 2, input: [5, 7], output: [3, 4], channels: c, scale: [5 / 3, 7 / 4] },
      ...{ kernel: [3, 3], stride: [2, 2], pad: [1, 1] },
      x: m.x(1, 70 * c),
      y: m.y(24 * c),
    });

const copying =
  (inner: number, from?: Elem) =>
  ({ gpu, elem }: Setting, m: Memory): void =>
    stridedCopy(
      gpu,
      [3, 5, inner],
      { view: m.x(1, 15 * inner, from ?? elem), elem: from ?? elem, first: 0, strides: [inner, 3 * inner, 1] },
      { view: m.y(15 * inner), elem, first: 0, strides: [5 * inner, inner, 1] },
    );

/** Attention of two batches in which keys end inside every block. */
const attending =
  (causal: boolean) =>
  ({ gpu, elem }: Setting, m: Memory): void =>
    attention(gpu, {
      ...{ elem, batches: 2, heads: 2, headDim: 8, queries: 19, keys: 21, sharedKeys: false, causal, scale: 0.3 },
      q: m.x(1, 2 * 19 * 16),
      k: m.x(2, 2 * 21 * 16),
      v: m.x(3, 2 * 21 * 16),
      y: m.y(2 * 19 * 16),
    });

const CASES: Record<string, (setting: Setting, memory: Memory) => void> = {
  unary: ({ gpu, elem }, m) => unary(gpu, m.x(1, 77), m.y(77), 77, elem, "silu"),
  "weighted sum": ({ gpu, elem }, m) =>
    weightedSum(
      gpu,
      [
        [2, m.x(1, 77)],
        [-1, m.x(2, 77)],
      ],
      m.y(77),
      77,
      elem,
    ),
  "binary with a number": ({ gpu, elem }, m) =>
    binaryNumber(gpu, { op: "mul", elem, a: m.x(1, 77), y: m.y(77), count: 77 }, 3),
  "binary with a suffix": ({ gpu, elem }, m) =>
    binarySuffix(gpu, { op: "add", elem, a: m.x(1, 84), y: m.y(84), count: 84 }, m.x(2, 12), 12),
  "binary by strides": ({ gpu, elem }, m) =>
    binaryStrided(
      gpu,
      { op: "sub", elem, a: m.x(1, 35), y: m.y(105), count: 105 },
      m.x(2, 15),
      [3, 5, 7],
      [0, 7, 1],
      [5, 1, 0],
    ),
  geglu: ({ gpu, elem }, m) => geglu(gpu, m.x(1, 9 * 24), m.y(9 * 12), 9, 12, elem),
  layerNorm: ({ gpu, elem }, m) =>
    layerNorm(gpu, {
      ...{ x: m.x(1, 7 * 36), weight: m.x(2, 36, "f32"), bias: m.x(3, 36, "f32"), y: m.y(7 * 36) },
      ...{ rows: 7, channels: 36, eps: 1e-5, elem },
    }),
  softmax: ({ gpu, elem }, m) => softmax(gpu, { x: m.x(1, 7 * 20), y: m.y(7 * 20), rows: 7, length: 20, elem }),
  groupNorm: ({ gpu, elem }, m) =>
    groupNorm(gpu, {
      ...{ x: m.x(1, 2 * 35 * 12), weight: m.x(2, 12, "f32"), bias: m.x(3, 12, "f32"), y: m.y(2 * 35 * 12) },
      ...{ images: 2, pixels: 35, channels: 12, groups: 4, eps: 1e-5, silu: true, elem },
    }),
  "gather of vectors": ({ gpu, elem }, m) =>
    gather(gpu, {
      ids: m.ids([4, 0, 2, -1, 5]),
      table: m.x(1, 40),
      y: m.y(40),
      count: 5,
      rows: 5,
      channels: 8,
      elem,
    }),
  "gather of scalars": ({ gpu, elem }, m) =>
    gather(gpu, { ids: m.ids([4, 0, 2]), table: m.x(1, 35), y: m.y(21), count: 3, rows: 5, channels: 7, elem }),
  "nearest resizing": resampling("nearest", 8),
  "bilinear resizing": resampling("bilinear", 4),
  "bilinear resizing of scalars": resampling("bilinear", 3),
  "maximum pooling": resampling("max", 5),
  "average pooling": resampling("average", 8),
  "strided copy of vectors": copying(12),
  "strided copy of scalars": copying(7),
  "strided copy of another type": copying(8, "f32"),
  "zeros between rows": ({ gpu, elem }, m) => {
    const y = m.y(5 * 12);
    stridedCopy(gpu, [5, 12], "zeros", { view: y, elem, first: 0, strides: [12, 1] });
    stridedCopy(
      gpu,
      [5, 3],
      { view: m.x(1, 15), elem, first: 0, strides: [3, 1] },
      { view: y, elem, first: 9, strides: [12, 1] },
    );
  },
  "pack of a linear weight": ({ gpu, elem }, m) =>
    pack(gpu, m.x(1, 9 * 7, "f32"), m.y(8 * 12), {
      ...{ source: "F32", elem, outputs: 9, inputs: 7, taps: 1, firstOutput: 0, rows: 9 },
    }),
  "pack of a convolution's": ({ gpu, elem }, m) =>
    pack(gpu, m.x(1, 35 * 5 * 9, "f32"), m.y(9 * 8 * 36), {
      ...{ source: "F32", elem, outputs: 35, inputs: 5, taps: 9, firstOutput: 0, rows: 35 },
    }),
  convert: ({ gpu, elem }, m) => convert(gpu, m.x(1, 77, "f32"), m.y(77), 77, "F32", elem),
  attention: attending(false),
  "attention, causal": attending(true),
  product: ({ gpu, elem }, m) =>
    gemm(gpu, {
      ...{ elem, batches: 2, m: 19, n4: 9, k4: 5, batchStride: { x: 19 * 5, w: 20 * 9, y: 19 * 9 } },
      x: m.x(1, 2 * 19 * 20),
      w: m.x(2, 2 * 20 * 36),
      y: m.y(2 * 19 * 36),
      epilogue: { bias: m.x(3, 36, "f32"), activation: "gelu", residual: m.x(4, 2 * 19 * 36) },
    }),
  "product with rows of weights": ({ gpu, elem }, m) =>
    gemm(gpu, {
      ...{ elem, batches: 1, m: 3, n4: 3, k4: 5, wRows: true, x: m.x(1, 60), w: m.x(2, 240), y: m.y(36) },
    }),
  convolution: ({ gpu, elem }, m) =>
    gemm(gpu, {
      ...{ elem, batches: 1, m: 70, n4: 5, k4: 2, batchStride: { x: 70, w: 0, y: 0 }, conv },
      x: m.x(1, 2 * 35 * 8),
      w: m.x(2, 9 * 8 * 20),
      y: m.y(70 * 20),
      epilogue: { shift: m.x(3, 2 * 20), rowsPerShift: 35 },
    }),
};

const opened: Device[] = [];
const settings: (Setting & { name: string })[] = [];
for (const variants of [{}, { gemm: "tiled", attention: "plain", reduce: "workgroup" }, { gemm: "plain" }])
  for (const gpu of [await requestDevice({ variants, guard: 256 }), await swiftShader({ variants, guard: 256 })]) {
    if (!gpu) continue;
    opened.push(gpu);
    for (const elem of gpu.facts.f16 ? (["f32", "f16"] as const) : (["f32"] as const))
      settings.push({ name: `${gpu.facts.subgroupSize} lanes, ${elem}, ${JSON.stringify(variants)}`, gpu, elem });
  }
afterAll(() => {
  for (const gpu of opened) gpu.destroy();
});

/** Operands surrounded by `around` bytes of the pattern, which `outputs` lists with what lies around them. */
function memory({ gpu, elem: own }: Setting, around: number, views: View[], outputs: View[]): Memory {
  const place = (content: Uint8Array): View => {
    const bytes = new Uint8Array(vectors(content.length) + 2 * around).fill(PATTERN);
    bytes.set(content, around);
    const view = { buffer: gpu.upload(bytes).buffer, offset: around, bytes: content.length };
    views.push(view);
    return view;
  };
  const bytesOf = (data: ArrayBufferView) =>
    new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return {
    x: (seed, count, elem = own) => {
      const values = normal(seed, count);
      return place(bytesOf(elem === "f16" ? encodeF16(values) : values));
    },
    ids: (values) => place(bytesOf(Int32Array.from(values))),
    y: (count, elem = own) => {
      const view = place(new Uint8Array(count * (elem === "f16" ? 2 : 4)).fill(PATTERN));
      outputs.push(view);
      return view;
    },
  };
}

describe.each(settings)("$name", (setting) => {
  const { gpu, elem } = setting;

  /** Runs a case and gives the bytes of its result; throws when something around it changed. */
  async function result(name: string, around: number): Promise<Uint8Array> {
    const [views, outputs]: [View[], View[]] = [[], []];
    CASES[name]!(setting, memory(setting, around, views, outputs));
    const [view] = outputs as [View];
    const end = around + vectors(view.bytes);
    const whole = new Uint8Array(await gpu.read({ buffer: view.buffer, offset: 0, bytes: end + around }));
    try {
      await gpu.checkGuards();
    } finally {
      for (const used of views) gpu.release(used); // or a failure would be every later test's, too
    }
    const outside = [...whole.subarray(0, around), ...whole.subarray(end)];
    expect(outside.findIndex((byte) => byte !== PATTERN)).toBe(-1);
    return whole.slice(around, around + view.bytes);
  }

  test.for(Object.keys(CASES))("%s", async (name) => {
    const inside = await result(name, AROUND);
    // every element was written, from operands alone: the pattern is a NaN and would have made others
    const values = elem === "f16" ? decodeF16(new Uint16Array(inside.buffer)) : new Float32Array(inside.buffer);
    expect(values.every(Number.isFinite)).toBe(true);
    expect(inside).toEqual(await result(name, 0));
    expect(gpu.memory.live).toBe(0);
  });
});
