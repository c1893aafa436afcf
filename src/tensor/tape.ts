import type { Device } from "../gpu/device.ts";
import { InputError, ShapeError } from "../util/errors.ts";
import { sameShape, show } from "../util/shape.ts";
import { add } from "./ops/binary.ts";
import { recorderOf, recording, type Recorder, type Rule, type Saved } from "./recording.ts";
import { Tensor } from "./tensor.ts";

/** Gradients so far, by the number of what they belong to. */
type Gradients = Map<number, Tensor>;

/** One recorded op. */
interface Node {
  readonly outputs: readonly number[];
  readonly saved: readonly Tensor[];
  /** Adds to the inputs' gradients what flows back from the outputs'. */
  run(gradients: Gradients): void;
}

/**
 * Reverse-mode differentiation (Griewank and Walther 2008, chapter 3). While `run` executes, every op that reads a
 * watched tensor, or what came of one, is recorded with what its backward needs; `backward` then walks the record
 * from its end. What was saved is freed as the walk passes it, and by `dispose()` at the latest. Ops outside `run`
 * know nothing of tapes.
 *
 * Weights: a trainable weight is held in natural order, usually as a float32 master. `linear` and `conv2d` read it as
 * it lies and pack where they must; a loop packs it once a step inside `run` (`packWeight(cast(master, "f16"))`) and
 * gives the copy to the model. The gradient of a packed weight is in natural order, and that of `packWeight` is the
 * identity, so it arrives at the master. A gradient has the type of its tensor: float16 copies need a scaled loss.
 *
 * All sums have one order: two runs give the same bits.
 */
export class Tape implements Recorder {
  readonly #device: Device;
  readonly #parent: Tape | undefined;
  readonly #slots = new WeakMap<Tensor, number>();
  readonly #foreign = new Map<number, Tensor>();
  readonly #nodes: Node[] = [];
  #next = 0;

  constructor(device: Device, parent?: Tape) {
    this.#device = device;
    this.#parent = parent;
  }

  /** Marks tensors whose gradients will be asked for. */
  watch(tensors: Iterable<Tensor>): void {
    for (const tensor of tensors) this.#slots.set(tensor, this.#next++);
  }

  /** Runs `fn` and records its ops. */
  run<T>(fn: () => T): T {
    return recording(this.#device, this, fn);
  }

  /** @internal Ops call this. */
  record<S extends Saved>(y: Tensor, { inputs, save, backward }: Rule<S>): void {
    const slots = inputs.map((input) => input && this.#slotOf(input));
    if (slots.every((slot) => slot === undefined)) return;
    const needs = slots.map((slot) => slot !== undefined);
    const kept = Object.fromEntries(
      Object.entries(save(y, needs)).map(([name, tensor]) => [name, tensor?.share().keep()]),
    ) as S;
    const output = this.#assign(y);
    this.#nodes.push({
      outputs: [output],
      saved: Object.values(kept).filter((tensor) => tensor !== undefined),
      run: (gradients) => {
        const found = backward(gradients.get(output)!, kept, needs);
        for (const [i, slot] of slots.entries()) {
          const gradient = slot === undefined ? undefined : found[i];
          if (gradient) accumulate(gradients, slot!, gradient, inputs[i]!);
        }
      },
    });
  }

  /** @internal See `checkpoint`. */
  checkpoint(fn: (...inputs: Tensor[]) => readonly Tensor[], inputs: readonly Tensor[]): readonly Tensor[] {
    const device = this.#device;
    const slots = inputs.map((input) => this.#slotOf(input));
    const results = recording(device, undefined, () => device.scope(() => fn(...inputs)));
    const outputs = results.map((y) => (inputs.includes(y) ? y.share() : y));
    const saved = inputs.map((input) => input.share().keep());
    const numbers = outputs.map((y) => this.#assign(y));
    this.#nodes.push({
      outputs: numbers,
      saved,
      run: (gradients) => {
        const inner = new Tape(device, this);
        try {
          inner.watch(saved);
          const again = inner.run(() => fn(...saved));
          const seeds = numbers.map((number) => gradients.get(number));
          const found = inner.#walk(again, seeds);
          for (const [i, slot] of slots.entries()) {
            const gradient = found.get(inner.#slots.get(saved[i]!)!);
            if (slot !== undefined && gradient) accumulate(gradients, slot, gradient, saved[i]!);
          }
          for (const [number, tensor] of inner.#foreign) {
            const gradient = found.get(number);
            if (gradient) accumulate(gradients, this.#slotOf(tensor)!, gradient, tensor);
          }
          for (const gradient of found.values()) gradient.dispose();
        } finally {
          inner.dispose();
        }
      },
    });
    return outputs;
  }

  /**
   * Gradients of a recorded result in each of `targets`, which were watched: undefined for one that it does not
   * depend on. Uses the record up.
   * @param seed the gradient of `y` itself; needed unless y is a single number
   * @throws ShapeError when y is no number and there is no seed of its shape
   */
  backward(y: Tensor, targets: readonly Tensor[], seed?: Tensor): (Tensor | undefined)[] {
    if (seed ? !sameShape(seed.shape, y.shape) : y.size !== 1)
      throw new ShapeError(
        "backward",
        `${show(y.shape)} needs a gradient of its own, got ${seed ? show(seed.shape) : "none"}`,
      );
    const device = this.#device;
    return device.scope(() => {
      const one = seed ?? Tensor.from(device, [1], y.shape, y.dtype);
      const found = recording(device, undefined, () => this.#walk([y], [one]));
      const results = targets.map((target) => found.get(this.#slots.get(target) ?? -1)?.share());
      for (const gradient of found.values()) gradient.dispose();
      return results;
    });
  }

  /** Frees what was saved. */
  dispose(): void {
    for (const { saved } of this.#nodes) for (const tensor of saved) tensor.dispose();
    this.#nodes.length = 0;
  }

  /** Walks the record from its end. What it returns outlives scopes. */
  #walk(ys: readonly Tensor[], seeds: readonly (Tensor | undefined)[]): Gradients {
    const gradients: Gradients = new Map();
    try {
      for (const [i, y] of ys.entries()) {
        const slot = this.#slotOf(y);
        if (slot !== undefined && seeds[i]) accumulate(gradients, slot, seeds[i], y);
      }
      for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
        try {
          const { outputs, run } = node;
          if (outputs.some((number) => gradients.has(number))) this.#device.scope(() => run(gradients));
          for (const number of outputs) {
            gradients.get(number)?.dispose();
            gradients.delete(number);
          }
        } finally {
          for (const tensor of node.saved) tensor.dispose();
        }
      }
      return gradients;
    } catch (error) {
      for (const gradient of gradients.values()) gradient.dispose();
      throw error;
    }
  }

  #assign(y: Tensor): number {
    this.#slots.set(y, this.#next);
    return this.#next++;
  }

  /** The number of a tensor that gradients flow to; one that only an outer tape knows gets a number here. */
  #slotOf(tensor: Tensor): number | undefined {
    const own = this.#slots.get(tensor);
    if (own !== undefined || !this.#parent || this.#parent.#slotOf(tensor) === undefined) return own;
    const number = this.#assign(tensor);
    this.#foreign.set(number, tensor);
    return number;
  }
}

function accumulate(gradients: Gradients, slot: number, gradient: Tensor, of: Tensor): void {
  if (!sameShape(gradient.shape, of.shape) || gradient.dtype !== of.dtype)
    throw new ShapeError("backward", `${gradient.dtype} ${show(gradient.shape)} for ${of.dtype} ${show(of.shape)}`);
  const before = gradients.get(slot);
  gradients.set(slot, (before ? add(before, gradient) : gradient.share()).keep());
  before?.dispose();
}

/**
 * Value and gradients of `fn`, which computes one number from `parameters` and whatever else it reads.
 * @returns the value, and a gradient for each parameter: undefined where the value does not depend on it
 * @throws ShapeError when the value is not one number; InputError when `fn` is asynchronous
 */
export function valueAndGrad(
  device: Device,
  fn: () => Tensor,
  parameters: readonly Tensor[],
): { value: Tensor; gradients: (Tensor | undefined)[] } {
  const tape = new Tape(device);
  try {
    tape.watch(parameters);
    return device.scope(() => {
      const value = tape.run(fn);
      if (!(value instanceof Tensor)) throw new InputError("valueAndGrad", "the function must return a tensor at once");
      return { value, gradients: tape.backward(value, parameters) };
    });
  } finally {
    tape.dispose();
  }
}

/** The gradients of `valueAndGrad` alone. */
export const grad = (device: Device, fn: () => Tensor, parameters: readonly Tensor[]): (Tensor | undefined)[] =>
  device.scope(() => valueAndGrad(device, fn, parameters).gradients);

/**
 * fn(...inputs) without keeping what its ops would save: only the inputs are kept, and `fn` runs again when gradients
 * flow back (Chen et al. 2016, arXiv 1604.06174). Without a tape it is a plain call. Beside its inputs `fn` may read
 * tensors that live until the backward pass, such as weights; gradients reach those too.
 */
export function checkpoint(fn: (...inputs: Tensor[]) => Tensor, ...inputs: readonly [Tensor, ...Tensor[]]): Tensor {
  return checkpointAll((...own) => [fn(...own)], ...inputs)[0]!;
}

/** `checkpoint` of a function with several results. */
export function checkpointAll(
  fn: (...inputs: Tensor[]) => readonly Tensor[],
  ...inputs: readonly [Tensor, ...Tensor[]]
): readonly Tensor[] {
  const recorder = recorderOf(inputs[0].device);
  return recorder ? recorder.checkpoint(fn, inputs) : fn(...inputs);
}
