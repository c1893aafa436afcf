import { binaryNumber, binaryStrided, binarySuffix, type BinaryOp } from "../../kernels/binary.ts";
import { ShapeError } from "../../util/errors.ts";
import { broadcastShape, count, sameShape, show, stridesOf, type Shape } from "../../util/shape.ts";
import { floatType, sameType } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";
import { sumTo } from "./sum_dims.ts";
import { activationBackward } from "./unary.ts";

function binary(op: BinaryOp, a: Tensor, b: Tensor | number): Tensor {
  if (typeof b === "number") {
    const elem = floatType(op, a);
    const rule = {
      inputs: [a],
      save: () => ({}),
      // max and min are clamp's, which has a rule of its own
      backward: (g: Tensor) => [op === "mul" ? mul(g, b) : op === "div" ? div(g, b) : g],
    };
    return recorded(a.device, rule, () => {
      const y = Tensor.empty(a.device, a.shape, a.dtype);
      binaryNumber(a.device, { op, elem, a: a.view, y: y.view, count: a.size }, b);
      return y;
    });
  }
  sameType(op, ["a", "b"], a, b);
  floatType(op, b);
  const shape = broadcastShape(op, a.shape, b.shape);
  if (shape.length > 5) throw new ShapeError(op, `${show(shape)} has more than five dimensions`);
  const [shapeA, shapeB] = [a.shape, b.shape];
  const reads = op === "mul" || op === "div";
  const rule = {
    inputs: [a, b],
    save: (_: Tensor, [needA, needB]: readonly boolean[]) => ({
      a: reads && needB ? a : undefined,
      b: reads && (needA || op === "div") ? b : undefined,
    }),
    backward: (g: Tensor, saved: Operands, [needA = false, needB = false]: readonly boolean[]) => [
      needA ? sumTo(slopeA(op, g, saved), shapeA) : undefined,
      needB ? sumTo(slopeB(op, g, saved), shapeB) : undefined,
    ],
  };
  return recorded(a.device, rule, () => computed(op, a, b, shape));
}

type Operands = Readonly<Record<"a" | "b", Tensor | undefined>>;

/** g · ∂(a ∘ b)/∂a. */
function slopeA(op: BinaryOp, g: Tensor, { b }: Operands): Tensor {
  if (op === "mul") return mul(g, b!);
  return op === "div" ? div(g, b!) : g;
}

/** g · ∂(a ∘ b)/∂b. */
function slopeB(op: BinaryOp, g: Tensor, { a, b }: Operands): Tensor {
  if (op === "sub") return mul(g, -1);
  if (op === "mul") return mul(g, a!);
  // -a / b², divided twice: b² could overflow
  return op === "div" ? mul(div(mul(g, div(a!, b!)), b!), -1) : g;
}

function computed(op: BinaryOp, a: Tensor, b: Tensor, shape: readonly number[]): Tensor {
  const elem = floatType(op, a);
  const y = Tensor.empty(a.device, shape, a.dtype);
  const call = { op, elem, y: y.view, count: y.size };
  if (isSuffix(b.shape, shape) && sameShape(a.shape, shape))
    binarySuffix(a.device, { ...call, a: a.view }, b.view, b.size);
  else if (isSuffix(a.shape, shape) && sameShape(b.shape, shape))
    binarySuffix(a.device, { ...call, a: b.view, swap: true }, a.view, a.size);
  else
    binaryStrided(
      a.device,
      { ...call, a: a.view },
      b.view,
      shape,
      broadcastStrides(a.shape, shape),
      broadcastStrides(b.shape, shape),
    );
  return y;
}

/** Whether a shape, its leading ones aside, is the end of another, so that it repeats without gaps in whole vectors. */
function isSuffix(small: Shape, whole: Shape): boolean {
  const core = small.slice(
    small.findIndex((size) => size !== 1) === -1 ? small.length : small.findIndex((size) => size !== 1),
  );
  if (!sameShape(core, whole.slice(whole.length - core.length))) return false;
  return count(core) === count(whole) || count(core) % 4 === 0;
}

/** Strides of a shape inside the one it broadcasts to: 0 where it repeats. */
function broadcastStrides(shape: Shape, whole: Shape): number[] {
  const own = stridesOf(shape);
  const offset = whole.length - shape.length;
  return whole.map((_, i) => (i < offset || shape[i - offset] === 1 ? 0 : own[i - offset]!));
}

/** a + b, broadcasting as PyTorch does. @throws ShapeError, DTypeError */
export const add = (a: Tensor, b: Tensor | number): Tensor => binary("add", a, b);
/** a - b, broadcasting. */
export const sub = (a: Tensor, b: Tensor | number): Tensor => binary("sub", a, b);
/** a · b, element by element, broadcasting. */
export const mul = (a: Tensor, b: Tensor | number): Tensor => binary("mul", a, b);
/** a / b, broadcasting. */
export const div = (a: Tensor, b: Tensor | number): Tensor => binary("div", a, b);

/** Every element brought into min … max. */
export function clamp(x: Tensor, min: number, max: number): Tensor {
  const rule = {
    inputs: [x],
    save: () => ({ x }),
    backward: (g: Tensor, { x }: { x: Tensor }) => [activationBackward(g, x, [min, max])],
  };
  return recorded(x.device, rule, () => x.device.scope(() => binary("min", binary("max", x, min), max)));
}
