import { Tensor } from "../tensor/tensor.ts";
import type { Module } from "./module.ts";

/**
 * Calls `onOutput` with the path and every output of each module inside `module`, inner modules before the ones that
 * hold them. For one debugging pass, such as a search for the first module that produces a NaN. Outputs die with the
 * scope they were made in: `keep()` those that are read later. Returns a function that undoes it.
 */
export function instrument(module: Module, onOutput: (path: string, output: Tensor) => void): () => void {
  const wrapped: Module[] = [];
  for (const [path, part] of module.modules()) {
    const forward: unknown = Reflect.get(part, "forward");
    if (typeof forward !== "function") continue;
    const observe = (...inputs: unknown[]): unknown => {
      const result: unknown = Reflect.apply(forward, part, inputs);
      for (const output of tensorsIn(result)) onOutput(path, output);
      return result;
    };
    Object.defineProperty(part, "forward", { value: observe, configurable: true }); // hides the class's own
    wrapped.push(part);
  }
  return () => {
    for (const part of wrapped) Reflect.deleteProperty(part, "forward");
  };
}

function tensorsIn(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value];
  if (Array.isArray(value)) return value.flatMap(tensorsIn);
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(tensorsIn) : [];
}
