import { InputError } from "../util/errors.ts";

/** Something that a scope frees. */
export interface Disposable {
  dispose(): void;
}

/** Scopes within scopes: each owns what was made since it began, and frees what its result does not hold. */
export class Scopes {
  readonly #open: Set<Disposable>[] = [];

  /** @throws InputError when `work` is asynchronous: its scope would end before it does */
  run<T>(work: () => T): T {
    const { result, kept } = this.collect(work);
    for (const item of kept) this.adopt(item);
    return result;
  }

  /** The same, but what the result holds is the caller's. */
  collect<T>(work: () => T): { readonly result: T; readonly kept: readonly Disposable[] } {
    const scope = new Set<Disposable>();
    this.#open.push(scope);
    try {
      const result = work();
      if (isPromise(result)) {
        result.then(undefined, () => {}); // it fails as soon as it touches what is freed below
        throw new InputError("scope", "the function is asynchronous, and a scope ends when its function returns");
      }
      const kept = [...disposablesIn(result, scope)];
      for (const item of kept) scope.delete(item);
      return { result, kept };
    } finally {
      this.#open.splice(this.#open.lastIndexOf(scope), 1);
      for (const unwanted of scope) unwanted.dispose();
    }
  }

  /** Puts a new object under the care of the innermost scope. */
  adopt(made: Disposable): void {
    this.#open.at(-1)?.add(made);
  }

  /** Takes an object out of every scope. */
  orphan(kept: Disposable): void {
    for (const scope of this.#open) scope.delete(kept);
  }
}

const isPromise = (value: unknown): value is Promise<unknown> =>
  typeof value === "object" && value !== null && typeof (value as Promise<unknown>).then === "function";

/** Those of `owned` that a value holds, in arrays, sets, maps and plain objects too. */
export function* disposablesIn(
  value: unknown,
  owned: { has(item: Disposable): boolean },
  seen = new Set<unknown>(),
): Generator<Disposable> {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  if (owned.has(value as Disposable)) yield value as Disposable;
  else if (Array.isArray(value) || value instanceof Set)
    for (const item of value) yield* disposablesIn(item, owned, seen);
  else if (value instanceof Map) for (const item of value.values()) yield* disposablesIn(item, owned, seen);
  else if (ArrayBuffer.isView(value) || typeof (value as Disposable).dispose === "function") return;
  else for (const item of Object.values(value)) yield* disposablesIn(item, owned, seen);
}
