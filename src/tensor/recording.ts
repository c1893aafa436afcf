import type { Device } from "../gpu/device.ts";
import type { Tensor } from "./tensor.ts";

/** Tensors that a backward pass reads again, by name. */
export type Saved = Readonly<Record<string, Tensor | undefined>>;

/** How gradients flow back through an op. It stands beside the op's forward, and nothing of it runs without a tape. */
export interface Rule<S extends Saved = Saved> {
  /** What the op reads; undefined for an option that was not given. */
  readonly inputs: readonly (Tensor | undefined)[];
  /**
   * What `backward` reads for the gradients that are needed. It is kept until then, whatever becomes of the caller's
   * tensors: a frozen weight's input is not.
   */
  save(y: Tensor, needs: readonly boolean[]): S;
  /**
   * The result's gradient → each input's, of the input's shape (a packed weight's in natural order).
   * `needs` says for which inputs one is asked; what is returned for others is ignored. Runs untaped, in a scope.
   */
  backward(g: Tensor, saved: S, needs: readonly boolean[]): readonly (Tensor | undefined)[];
}

/** What ops report to while a tape runs. */
export interface Recorder {
  record<S extends Saved>(y: Tensor, rule: Rule<S>): void;
  checkpoint(fn: (...inputs: Tensor[]) => readonly Tensor[], inputs: readonly Tensor[]): readonly Tensor[];
}

const recorders = new WeakMap<Device, Recorder>();

/** The recorder of the tape that runs on a device, if one does. */
export const recorderOf = (device: Device): Recorder | undefined => recorders.get(device);

/** Runs `fn` with ops on the device reporting to `recorder`, or to nobody. */
export function recording<T>(device: Device, recorder: Recorder | undefined, fn: () => T): T {
  const before = recorders.get(device);
  const set = (to: Recorder | undefined) => (to ? recorders.set(device, to) : recorders.delete(device));
  set(recorder);
  try {
    return fn();
  } finally {
    set(before);
  }
}

/** Runs an op's forward, in which nothing is recorded, and reports the op as a whole where a tape runs. */
export function recorded<S extends Saved>(device: Device, rule: Rule<S>, forward: () => Tensor): Tensor {
  const recorder = recorders.get(device);
  if (!recorder) return forward();
  const y = recording(device, undefined, forward);
  recorder.record(y, rule);
  return y;
}
