import { MAX_TERMS, weightedSum as kernel } from "../../kernels/weighted_sum.ts";
import { ShapeError } from "../../util/errors.ts";
import { sameShape } from "../../util/shape.ts";
import { floatType, sameType, shapeError } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";
import { mul } from "./binary.ts";

/**
 * Σ cᵢ · tᵢ of up to six tensors of one shape and type, summed in f32.
 * @throws ShapeError, DTypeError
 */
export function weightedSum(terms: readonly (readonly [coefficient: number, tensor: Tensor])[]): Tensor {
  const first = terms[0]?.[1];
  if (!first || terms.length > MAX_TERMS)
    throw new ShapeError("weightedSum", `${terms.length} terms, 1 to ${MAX_TERMS} are possible`);
  for (const [, t] of terms) {
    sameType("weightedSum", ["the first term", "another"], first, t);
    floatType("weightedSum", t);
    if (!sameShape(t.shape, first.shape)) throw shapeError("weightedSum", "terms differ", first.shape, t.shape);
  }
  const rule = {
    inputs: terms.map(([, t]) => t),
    save: () => ({}),
    backward: (g: Tensor, _: object, needs: readonly boolean[]) =>
      terms.map(([coefficient], i) => (needs[i] ? mul(g, coefficient) : undefined)),
  };
  return recorded(first.device, rule, () => added(terms, first));
}

function added(terms: readonly (readonly [coefficient: number, tensor: Tensor])[], first: Tensor): Tensor {
  const y = Tensor.empty(first.device, first.shape, first.dtype);
  const views = terms.map(([coefficient, t]) => [coefficient, t.view] as const);
  kernel(first.device, views, y.view, first.size, floatType("weightedSum", first));
  return y;
}
