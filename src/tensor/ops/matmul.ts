import type { View } from "../../gpu/kernel.ts";
import { bindRange, ranges } from "../../kernels/bands.ts";
import { gemm, type GemmCall } from "../../kernels/gemm.ts";
import { ShapeError } from "../../util/errors.ts";
import { show, type Shape } from "../../util/shape.ts";
import { floatType, sameType, shapeError } from "../check.ts";
import { recorded } from "../recording.ts";
import { BYTES, Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";
import { checkEpilogue, finish, productOperands, type LinearOptions, type ProductOperands } from "./epilogue.ts";
import { outerSum } from "./outer_sum.ts";
import { padChannels } from "./pad.ts";
import { permute } from "./permute.ts";
import { repeat } from "./repeat.ts";
import { slice } from "./slice.ts";
import { sumRows, sumTo } from "./sum_dims.ts";
import { activationBackward } from "./unary.ts";

const up4 = (n: number) => Math.ceil(n / 4) * 4;

export interface MatmulOptions extends LinearOptions {
  /** b is [b?, n, k]. */
  readonly transposeB?: boolean;
}

/**
 * activation(a · b + bias) + residual for each of a batch.
 * @param a [batch?, m, k]
 * @param b [batch?, k, n]; a batch of one, or none, is shared
 * @returns [batch?, m, n]
 * @throws ShapeError, DTypeError
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeB = false, bias, activation = "none", residual } = options;
  sameType("matmul", ["a", "b"], a, b);
  floatType("matmul", b);
  const sizes = matmulSizes(a, b, transposeB);
  const shape = a.shape.length === 2 && b.shape.length === 2 ? [sizes.m, sizes.n] : [sizes.batches, sizes.m, sizes.n];
  checkEpilogue("matmul", a, shape, options);
  const [shapeA, shapeB] = [a.shape, b.shape];
  const rule = {
    inputs: [a, b, bias, residual],
    save: (_: Tensor, needs: readonly boolean[]) =>
      productOperands({ x: a, weight: b, bias, shift: undefined }, activation, needs),
    backward: (g: Tensor, saved: ProductOperands, [needA, needB, needBias]: readonly boolean[]) => {
      const { x: a, weight: b, bias } = saved;
      const slope = activation === "none" ? g : activationBackward(g, matmul(a!, b!, { transposeB, bias }), activation);
      return [
        needA ? sumTo(matmul(slope, b!, { transposeB: !transposeB }), shapeA) : undefined,
        needB ? cast(sumTo(matmulSum(slope, a!, shapeB, transposeB), shapeB), g.dtype) : undefined,
        needBias ? sumRows(slope) : undefined,
        g,
      ];
    },
  };
  return recorded(a.device, rule, () => multiplied(a, b, shape, sizes, options));
}

/** The gradient in b of a · b, or of a · bᵀ, batch by batch; of a shared b, summed over the batches. */
function matmulSum(g: Tensor, a: Tensor, b: Shape, transposeB: boolean): Tensor {
  const sharedA = a.shape.length === 2 && g.shape.length === 3;
  const own = sharedA ? repeat(a.reshape(1, ...a.shape), g.shape[0]!) : a;
  const sharedB = b.length === 2 || b[0] === 1;
  const [left, right] = transposeB ? [g, own] : [own, g];
  if (!sharedB) return outerSum(left, right);
  const flat = (t: Tensor) => t.reshape(-1, t.shape.at(-1)!); // batches are more rows of one sum
  return outerSum(flat(left), flat(right)).reshape(...b);
}

function multiplied(a: Tensor, b: Tensor, shape: Shape, sizes: MatmulSizes, options: MatmulOptions): Tensor {
  const { transposeB = false, bias, activation, residual } = options;
  const { m, k, n, batches, shared } = sizes;
  const { device } = a;
  const elem = floatType("matmul", a);
  return device.scope(() => {
    const k4 = up4(k);
    const x = padChannels(a, k4);
    // a depth that does not divide by four is padded along the rows of bᵀ
    const wRows = transposeB || k % 4 !== 0;
    const rows = wRows && !transposeB ? permute(b, b.shape.length === 3 ? [0, 2, 1] : [1, 0]) : b;
    const w = padChannels(rows, wRows ? k4 : up4(n));
    const y = Tensor.empty(device, [...shape.slice(0, -1), up4(n)], a.dtype);
    const added = residual && n === up4(n) ? residual : undefined;
    const sharedA = a.shape.length === 2;
    for (const part of matmulParts({ x, w, y, residual: added }, { batches, m, sharedA, sharedB: shared }))
      gemm(device, {
        elem,
        n4: up4(n) / 4,
        k4: k4 / 4,
        wRows,
        batchStride: {
          x: sharedA ? 0 : (m * k4) / 4,
          w: shared ? 0 : wRows ? (n * k4) / 4 : (k * up4(n)) / 4,
          y: (m * up4(n)) / 4,
        },
        ...part.call,
        epilogue: { bias: bias?.view, activation, residual: part.residual },
      });
    return finish(y, n, residual);
  });
}

interface MatmulOperands {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly y: Tensor;
  readonly residual: Tensor | undefined;
}

type MatmulPart = Pick<GemmCall, "batches" | "m" | "x" | "w" | "y" | "first">;

/** The whole product where bindings hold it; else band after band of rows of each batch. */
function* matmulParts(
  { x, w, y, residual }: MatmulOperands,
  { batches, m, sharedA, sharedB }: { batches: number; m: number; sharedA: boolean; sharedB: boolean },
): Generator<{ call: MatmulPart; residual: View | undefined }> {
  const { limits } = x.device.facts;
  if (Math.max(x.view.bytes, w.view.bytes, y.view.bytes) <= limits.maxStorageBufferBindingSize) {
    yield { call: { batches, m, x: x.view, w: w.view, y: y.view }, residual: residual?.view };
    return;
  }
  const bytes = BYTES[x.dtype];
  const [xRow, yRow, wBatch] = [
    x.shape.at(-1)! * bytes,
    y.shape.at(-1)! * bytes,
    w.view.bytes / (sharedB ? 1 : batches),
  ];
  const room = limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);
  const rows = Math.max(1, Math.floor(room / Math.max(xRow, yRow)));
  for (let batch = 0; batch < batches; batch++) {
    const wRange = bindRange(limits, w.view, sharedB ? 0 : batch * wBatch, wBatch);
    // the kernels have no place to begin inside w: a batch that lies between two places to bind is copied to one
    const own = wRange.skip === 0 ? undefined : slice(w, 0, batch, batch + 1);
    for (const { start, length } of ranges(m, rows)) {
      const from = bindRange(limits, x.view, ((sharedA ? 0 : batch * m) + start) * xRow, length * xRow);
      const yBytes = [(batch * m + start) * yRow, length * yRow] as const;
      const to = bindRange(limits, y.view, ...yBytes);
      const first = { x: from.skip / (4 * bytes), y: to.skip / (4 * bytes) };
      const call = { batches: 1, m: length, x: from.view, w: own?.view ?? wRange.view, y: to.view, first };
      yield { call, residual: residual && bindRange(limits, residual.view, ...yBytes).view };
    }
    own?.dispose();
  }
}

interface MatmulSizes {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly batches: number;
  /** One b serves all batches. */
  readonly shared: boolean;
}

function matmulSizes(a: Tensor, b: Tensor, transposeB: boolean): MatmulSizes {
  const [batchA, batchB] = [a, b].map((t) => (t.shape.length === 3 ? t.shape[0]! : 1)) as [number, number];
  const [m = 0, k = 0] = a.shape.slice(-2);
  const [first = 0, second = 0] = b.shape.slice(-2);
  const [inner, n] = transposeB ? [second, first] : [first, second];
  for (const t of [a, b])
    if (t.shape.length < 2 || t.shape.length > 3)
      throw new ShapeError("matmul", `${show(t.shape)} is not [batch?, rows, columns]`);
  if (inner !== k) throw shapeError("matmul", "inner sizes differ", a.shape, b.shape);
  if (batchA !== batchB && batchB !== 1 && a.shape.length === 3)
    throw shapeError("matmul", "batches differ", a.shape, b.shape);
  return { m, k, n, batches: Math.max(batchA, batchB), shared: batchB === 1 };
}
