import * as ops from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ToileError } from "../util/errors.ts";

/** A weighted sum that has not been computed yet: Σ coefficient · tensor. */
export type Terms = readonly (readonly [coefficient: number, tensor: Tensor])[];

export const scaled = (factor: number, terms: Terms): Terms => terms.map(([c, tensor]) => [factor * c, tensor]);

/** Computes Σ coefficient · tensor in one kernel: terms of one tensor are added up first, those without weight left out. */
export function combine(op: string, terms: Terms): Tensor {
  const sums = new Map<Tensor, number>();
  for (const [coefficient, tensor] of terms) sums.set(tensor, (sums.get(tensor) ?? 0) + coefficient);
  const weighted = [...sums].filter(([, coefficient]) => coefficient !== 0).map(([tensor, c]) => [c, tensor] as const);
  if (weighted.some(([coefficient]) => !Number.isFinite(coefficient)))
    throw new ToileError(op, `a step's coefficients are ${weighted.map(([c]) => c).join(", ")}: not finite`);
  return ops.weightedSum(weighted.length > 0 ? weighted : [[0, terms[0]![1]]]);
}

/** A tensor of our own over the same memory: it outlives whatever the caller does with the original. */
export const hold = (tensor: Tensor): Tensor => tensor.reshape(...tensor.shape).keep();

/** The latest model outputs, newest first. Owns them. */
export class History {
  readonly #length: number;
  #items: Tensor[] = [];

  constructor(length: number) {
    this.#length = length;
  }

  get length(): number {
    return this.#items.length;
  }

  at(age: number): Tensor {
    return this.#items[age]!;
  }

  push(tensor: Tensor): void {
    this.#items.unshift(tensor);
    while (this.#items.length > this.#length) this.#items.pop()!.dispose();
  }

  clear(): void {
    for (const tensor of this.#items) tensor.dispose();
    this.#items = [];
  }
}
