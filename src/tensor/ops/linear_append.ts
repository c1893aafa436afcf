import { gemm } from "../../kernels/gemm.ts";
import { stridedCopy } from "../../kernels/strided_copy.ts";
import { dataOf, floatType, sameType, shapeError } from "../check.ts";
import { recorderOf } from "../recording.ts";
import { Tensor } from "../tensor.ts";
import { concat } from "./concat.ts";
import { linear, productShape } from "./linear.ts";
import { spread } from "./spread.ts";

/**
 * x · Wᵀ + bias, and behind each batch's tokens others that are there already: what attention over two runs of tokens
 * reads. The product is written where it belongs, not copied there.
 * @param x [n, t, in]
 * @param weight [out, in], packed or not
 * @param append [m, u, out]; each of the m batches serves n / m neighbouring ones
 * @returns [n, t + u, out]
 * @throws ShapeError, DTypeError
 */
export function linearAppend(x: Tensor, weight: Tensor, append: Tensor, { bias }: { bias?: Tensor } = {}): Tensor {
  const op = "linearAppend";
  const product = productShape(op, x, weight, bias ? { bias } : {});
  dataOf(op, append);
  sameType(op, ["x", "append"], x, append);
  const [n = 0] = x.shape;
  const [m = 0] = append.shape;
  if (x.shape.length !== 3 || append.shape.length !== 3 || append.shape[2] !== product[2] || n % m !== 0)
    throw shapeError(op, "tokens do not fit behind those of x · Wᵀ", append.shape, product);
  const { device } = x;
  if (!recorderOf(device) && isWhole(x, weight, append)) return direct(x, weight, append, bias);
  return device.scope(() => concat([linear(x, weight, bias ? { bias } : {}), spread(append, n)], 1));
}

/** Whether a binding holds all batches, and no row is padded. */
function isWhole(x: Tensor, weight: Tensor, append: Tensor): boolean {
  const most = x.device.facts.limits.maxStorageBufferBindingSize;
  const own = (x.view.bytes / x.shape[2]!) * weight.shape[0]!;
  const other = (append.view.bytes / append.shape[0]!) * x.shape[0]!;
  return weight.shape.every((size) => size % 4 === 0) && Math.max(x.view.bytes, own + other) <= most;
}

function direct(x: Tensor, weight: Tensor, append: Tensor, bias: Tensor | undefined): Tensor {
  const { device } = x;
  const elem = floatType("linear", x);
  const [n = 0, tokens = 0, inputs = 0] = x.shape;
  const [m = 0, more = 0, outputs = 0] = append.shape;
  const total = (tokens + more) * outputs;
  const y = Tensor.empty(device, [n, tokens + more, outputs], x.dtype);
  gemm(device, {
    ...{ elem, batches: n, m: tokens, n4: outputs / 4, k4: inputs / 4 },
    ...{ x: x.view, w: weight.view, y: y.view, wRows: !weight.packed },
    batchStride: { x: (tokens * inputs) / 4, w: 0, y: total / 4 },
    epilogue: { bias: bias?.view },
  });
  stridedCopy(
    device,
    [m, n / m, more * outputs],
    { view: append.view, elem, first: 0, strides: [more * outputs, 0, 1] },
    { view: y.view, elem, first: tokens * outputs, strides: [(n / m) * total, total, 1] },
  );
  return y;
}
