import type { Tensor } from "../tensor/tensor.ts";

/**
 * Runs `steps` one after the other on `x` and returns the last result. A step's result, and all that it made on the
 * way, is freed as soon as the next step is done: at most two links of the chain are alive at once.
 */
export function chain(x: Tensor, steps: readonly ((x: Tensor) => Tensor)[]): Tensor {
  const run = (length: number): Tensor =>
    length === 0 ? x : x.device.scope(() => steps[length - 1]!(run(length - 1)));
  return run(steps.length);
}
