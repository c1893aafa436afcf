import type { Activation } from "../../kernels/activation.ts";
import { bindRange, rowBands } from "../../kernels/bands.ts";
import { gemm } from "../../kernels/gemm.ts";
import { ShapeError } from "../../util/errors.ts";
import { count, sameShape, show, type Shape } from "../../util/shape.ts";
import { channelVector, sameType, shapeError } from "../check.ts";
import { packedSizes } from "../packing.ts";
import { BYTES, Tensor } from "../tensor.ts";
import { add } from "./binary.ts";
import { packWeight } from "./pack.ts";
import { cropChannels, padChannels } from "./pad.ts";
import { permute } from "./permute.ts";

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
    gemm(device, {
      elem,
      batches,
      m,
      n4: up4(n) / 4,
      k4: k4 / 4,
      x: x.view,
      w: w.view,
      y: y.view,
      wRows,
      batchStride: {
        x: a.shape.length === 2 ? 0 : (m * k4) / 4,
        w: shared ? 0 : wRows ? (n * k4) / 4 : (k * up4(n)) / 4,
        y: (m * up4(n)) / 4,
      },
      epilogue: { bias: bias?.view, activation, residual: residual && n === up4(n) ? residual.view : undefined },
    });
    return finish(y, n, residual);
  });
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
  if (!sameShape(residual.shape, shape))
    throw shapeError(op, "residual is not of the result's shape", residual.shape, shape);
  sameType(op, ["x", "residual"], x, residual);
}
