import { Bundle } from "../../nn/bundle.ts";
import type { KeyValues } from "../../nn/attention.ts";
import type { Module } from "../../nn/module.ts";
import { slice } from "../../tensor/ops.ts";
import type { Device } from "../../gpu/device.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { InputError } from "../../util/errors.ts";
import type { Fusion } from "./fusion.ts";

/** What every block of a UNet is given besides the image. */
export interface Conditioning {
  readonly time: StepShifts;
  readonly text: TextReader;
  readonly fusion: Fusion;
  /** Whether layers run again when gradients flow back, so that a tape need not keep what is inside of them. */
  readonly checkpointing: boolean;
}

/** The shifts of one step, or of one batch: what each resnet adds between its convolutions. */
export interface StepShifts {
  /** [n or 1, c] of a resnet. */
  of(resnet: Module): Tensor;
}

/** Every resnet's time shift for a list of timesteps, computed before the first step. */
export class TimeShifts extends Bundle {
  /** How many timesteps there are. */
  readonly length: number;
  readonly #device: Device;
  readonly #shifts: ReadonlyMap<Module, Tensor>;

  /** @param shifts [timesteps, c] of each resnet */
  constructor(device: Device, length: number, shifts: ReadonlyMap<Module, Tensor>) {
    super(device, [...shifts.values()]);
    this.length = length;
    this.#device = device;
    this.#shifts = shifts;
  }

  /** The shifts of timestep `index`, for a batch of any size. */
  at(index: number): StepShifts {
    if (!Number.isInteger(index) || index < 0 || index >= this.length)
      throw new InputError("TimeShifts", `step ${index} of ${this.length}`);
    return { of: (resnet) => (this.length === 1 ? this.#of(resnet) : slice(this.#of(resnet), 0, index, index + 1)) };
  }

  /** The shifts of one timestep at a time, in memory that stays: for a recording, which reads what was chosen last. */
  chosen(): ChosenShifts {
    return new ChosenShifts(this.#device, this.#shifts);
  }

  /** The shifts for a batch of `length` images, the i-th of which is at timestep i. */
  perSample(): StepShifts {
    return { of: (resnet) => this.#of(resnet) };
  }

  #of(resnet: Module): Tensor {
    const shift = this.#shifts.get(resnet);
    if (!shift) throw new InputError("TimeShifts", "made by another UNet");
    return shift;
  }
}

/** The shifts of a timestep that `choose` chooses; of the first one to begin with. */
export class ChosenShifts extends Bundle implements StepShifts {
  readonly #shifts: ReadonlyMap<Module, { readonly all: Tensor; readonly chosen: Tensor }>;

  /** @param shifts [timesteps, c] of each resnet */
  constructor(device: Device, shifts: ReadonlyMap<Module, Tensor>) {
    const first = (all: Tensor) => Tensor.empty(device, [1, all.shape[1]!], all.dtype);
    const pairs = [...shifts].map(([resnet, all]) => [resnet, { all, chosen: first(all) }] as const);
    super(
      device,
      pairs.map(([, { chosen }]) => chosen),
    );
    this.#shifts = new Map(pairs);
    this.choose(0);
  }

  choose(index: number): void {
    for (const { all, chosen } of this.#shifts.values())
      all.device.scope(() => chosen.assign(slice(all, 0, index, index + 1)));
  }

  of(resnet: Module): Tensor {
    return this.#shifts.get(resnet)!.chosen;
  }
}

/** One of `count` equal parts of a batch, or a batch of one that serves them all. */
export function batchPart(x: Tensor, index: number, count: number): Tensor {
  const length = x.shape[0]!;
  return length === 1 ? x : slice(x, 0, (index * length) / count, ((index + 1) * length) / count);
}

/** What cross-attentions read of a text. */
export interface TextReader {
  /** Keys and values of a transformer block, [n or 1, t, c] each. */
  of(block: Module): KeyValues;
}

/** Keys and values of a text in every cross-attention, computed once. */
export class TextKeyValues extends Bundle implements TextReader {
  readonly #keysValues: ReadonlyMap<Module, KeyValues>;

  /** @param keysValues [n or 1, t, c] of each transformer block */
  constructor(device: Device, keysValues: ReadonlyMap<Module, KeyValues>) {
    super(
      device,
      [...keysValues.values()].flatMap(({ k, v }) => [k, v]),
    );
    this.#keysValues = keysValues;
  }

  /** The same for one of `count` equal parts of the batch. */
  part(index: number, count: number): TextReader {
    const own = (x: Tensor) => batchPart(x, index, count);
    return { of: (block) => ({ k: own(this.of(block).k), v: own(this.of(block).v) }) };
  }

  of(block: Module): KeyValues {
    const keysValues = this.#keysValues.get(block);
    if (!keysValues) throw new InputError("TextKeyValues", "made by another UNet");
    return keysValues;
  }
}
