import { bindRange, rowBands } from "../../kernels/bands.ts";
import { gemm } from "../../kernels/gemm.ts";
import { ShapeError } from "../../util/errors.ts";
import { count, show, type Shape } from "../../util/shape.ts";
import { floatType, sameType, shapeError } from "../check.ts";
import { packedSizes } from "../packing.ts";
import { recorded, recorderOf } from "../recording.ts";
import { BYTES, Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";
import { checkEpilogue, finish, type LinearOptions, productOperands, type ProductOperands } from "./epilogue.ts";
import { geglu } from "./geglu.ts";
import { matmul } from "./matmul.ts";
import { outerSum } from "./outer_sum.ts";
import { packWeight, turnedWeight } from "./pack.ts";
import { padChannels } from "./pad.ts";
import { sumRows } from "./sum_dims.ts";
import { activationBackward } from "./unary.ts";

/**
 * activation(x · Wᵀ + bias) + residual, in one kernel.
 * @param x [..., in]
 * @param weight [out, in], packed or not
 * @returns [..., out]
 * @throws ShapeError, DTypeError
 */
export function linear(x: Tensor, weight: Tensor, options: LinearOptions = {}): Tensor {
  const { bias, activation = "none", residual } = options;
  const shape = productShape("linear", x, weight, options);
  const [out = 0, inputs = 0] = weight.shape;
  const rule = {
    inputs: [x, weight, bias, residual],
    save: (_: Tensor, needs: readonly boolean[]) =>
      productOperands({ x, weight, bias, shift: undefined }, activation, needs),
    backward: (g: Tensor, { x, weight, bias }: ProductOperands, [needX, needW, needB]: readonly boolean[]) => {
      const slope = activation === "none" ? g : activationBackward(g, linear(x!, weight!, { bias }), activation);
      return [
        needX ? timesWeight(slope, weight!) : undefined,
        needW ? cast(outerSum(slope.reshape(-1, out), x!.reshape(-1, inputs)), g.dtype) : undefined,
        needB ? sumRows(slope) : undefined,
        g,
      ];
    },
  };
  return recorded(x.device, rule, () => product(x, weight, shape, options));
}

/** Checks x · Wᵀ and what comes with it. @returns the product's shape */
export function productShape(op: string, x: Tensor, weight: Tensor, options: LinearOptions): number[] {
  sameType(op, ["x", "weight"], x, weight);
  const [out = 0, inputs = 0] = weight.shape;
  if (weight.shape.length !== 2 || x.shape.at(-1) !== inputs)
    throw shapeError(op, "inner sizes differ", x.shape, weight.shape);
  const shape = [...x.shape.slice(0, -1), out];
  checkEpilogue(op, x, shape, options);
  return shape;
}

/** g [..., out] · weight [out, in], packed or not: the gradient in what the weight was applied to. */
function timesWeight(g: Tensor, weight: Tensor): Tensor {
  const [out = 0, inputs = 0] = weight.shape;
  const rows = g.reshape(-1, out);
  const shape = [rows.shape[0]!, inputs];
  const gx = weight.packed ? product(rows, turnedWeight(weight), shape, {}) : matmul(rows, weight);
  return gx.reshape(...g.shape.slice(0, -1), inputs);
}

/**
 * First half of the columns of x · Wᵀ + bias, times gelu(second half): `geglu` of `linear`, in one kernel.
 * @param x [..., in]
 * @param weight [out, in], packed or not; out is twice a multiple of 4
 * @returns [..., out / 2]
 * @throws ShapeError, DTypeError
 */
export function linearGeglu(x: Tensor, weight: Tensor, { bias }: Pick<LinearOptions, "bias"> = {}): Tensor {
  const shape = productShape("linearGeglu", x, weight, { bias });
  if (shape.at(-1)! % 8 !== 0)
    throw new ShapeError("linearGeglu", `${shape.at(-1)!} columns of ${show(shape)}: twice a multiple of 4 is needed`);
  if (recorderOf(x.device)) return x.device.scope(() => geglu(linear(x, weight, { bias }))); // whose gradients are known
  return product(x, weight, shape, { bias, gated: true });
}

interface ProductOptions extends LinearOptions {
  readonly gated?: boolean;
}

function product(x: Tensor, weight: Tensor, shape: Shape, options: ProductOptions): Tensor {
  const { bias, activation, residual, gated = false } = options;
  const { device } = x;
  const elem = floatType("linear", x);
  const [out = 0, inputs = 0] = weight.shape;
  const { limits } = device.facts;
  const { inputs4, outputs4 } = packedSizes(weight.shape);
  return device.scope(() => {
    const operand = padChannels(x, inputs4);
    const wRows = !weight.packed && inputs % 4 === 0 && out % 4 === 0;
    const w = weight.packed || wRows ? weight : packWeight(weight);
    const columns = gated ? outputs4 / 2 : outputs4;
    const y = Tensor.empty(device, [...shape.slice(0, -1), columns], x.dtype);
    const [xRow, yRow, vector] = [inputs4 * BYTES[elem], columns * BYTES[elem], 4 * BYTES[elem]];
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
        epilogue: { bias: bias?.view, activation, residual: added, gated },
      });
    }
    return gated ? y : finish(y, out, residual);
  });
}
