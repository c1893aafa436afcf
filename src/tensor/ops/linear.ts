import type { Activation } from "../../kernels/activation.ts";
import type { View } from "../../gpu/kernel.ts";
import { bindRange, ranges, rowBands } from "../../kernels/bands.ts";
import { gemm, type GemmCall } from "../../kernels/gemm.ts";
import { ShapeError } from "../../util/errors.ts";
import { count, sameShape, show, type Shape } from "../../util/shape.ts";
import { channelVector, floatType, sameType, shapeError } from "../check.ts";
import { packedSizes } from "../packing.ts";
import { BYTES, Tensor } from "../tensor.ts";
import { add } from "./binary.ts";
import { packWeight } from "./pack.ts";
import { cropChannels, padChannels } from "./pad.ts";
import { permute } from "./permute.ts";
import { slice } from "./slice.ts";

export interface LinearOptions {
  /** [out], f32. */
  readonly bias?: Tensor | undefined;
  readonly activation?: Activation;
  /** Of the result's shape and type; added last. */
  readonly residual?: Tensor | undefined;
}

const up4 = (n: number) => Math.ceil(n / 4) * 4;

/**
 * activation(x · Wᵀ + bias) + residual, in one kernel.
 * @param x [..., in]
 * @param weight [out, in], packed or not
 * @returns [..., out]
 * @throws ShapeError, DTypeError
 */
export function linear(x: Tensor, weight: Tensor, options: LinearOptions = {}): Tensor {
  const { bias, activation, residual } = options;
  const elem = sameType("linear", ["x", "weight"], x, weight);
  const [out = 0, inputs = 0] = weight.shape;
  if (weight.shape.length !== 2 || x.shape.at(-1) !== inputs)
    throw shapeError("linear", "inner sizes differ", x.shape, weight.shape);
  const shape = [...x.shape.slice(0, -1), out];
  checkEpilogue("linear", x, shape, options);
  const { device } = x;
  const { limits } = device.facts;
  const { inputs4, outputs4 } = packedSizes(weight.shape);
  return device.scope(() => {
    const operand = padChannels(x, inputs4);
    const wRows = !weight.packed && inputs % 4 === 0 && out % 4 === 0;
    const w = weight.packed || wRows ? weight : packWeight(weight);
    const y = Tensor.empty(device, [...shape.slice(0, -1), outputs4], x.dtype);
    const [xRow, yRow, vector] = [inputs4 * BYTES[elem], outputs4 * BYTES[elem], 4 * BYTES[elem]];
    for (const { start, length } of rowBands(limits, count(shape.slice(0, -1)), Math.max(xRow, yRow))) {
      const from = bindRange(limits, operand.view, start * xRow, length * xRow);
      const to = bindRange(limits, y.view, start * yRow, length * yRow);
      const added =
        residual && out === outputs4 ? bindRange(limits, residual.view, start * yRow, length * yRow).view : undefined;
      gemm(device, {
        elem,
        batches: 1,
        m: length,
        n4: outputs4 / 4,
        k4: inputs4 / 4,
        x: from.view,
        w: w.view,
        y: to.view,
        wRows,
        first: { x: from.skip / vector, y: to.skip / vector },
        epilogue: { bias: bias?.view, activation, residual: added },
      });
    }
    return finish(y, out, residual);
  });
}

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
  const { transposeB = false, bias, activation, residual } = options;
  const elem = sameType("matmul", ["a", "b"], a, b);
  floatType("matmul", b);
  const [m, k, n, batches, shared] = matmulSizes(a, b, transposeB);
  const shape = a.shape.length === 2 && b.shape.length === 2 ? [m, n] : [batches, m, n];
  checkEpilogue("matmul", a, shape, options);
  const { device } = a;
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

function matmulSizes(
  a: Tensor,
  b: Tensor,
  transposeB: boolean,
): [m: number, k: number, n: number, batches: number, shared: boolean] {
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
  return [m, k, n, Math.max(batchA, batchB), batchB === 1];
}

/** Cuts the padding off the columns, and adds the residual that the kernel could not. */
export function finish(y: Tensor, columns: number, residual: Tensor | undefined): Tensor {
  if (y.shape.at(-1) === columns) return y;
  const cropped = cropChannels(y, columns);
  return residual ? add(cropped, residual) : cropped;
}

/** Bias and residual of a product must fit its result. */
export function checkEpilogue(
  op: string,
  x: Tensor,
  shape: Shape,
  { bias, residual }: Pick<LinearOptions, "bias" | "residual">,
): void {
  if (bias) channelVector(op, "bias", bias, shape.at(-1)!);
  if (!residual) return;
  floatType(op, residual);
  if (!sameShape(residual.shape, shape))
    throw shapeError(op, "residual is not of the result's shape", residual.shape, shape);
  sameType(op, ["x", "residual"], x, residual);
}
