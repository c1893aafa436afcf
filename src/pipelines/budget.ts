import type { DeviceFacts } from "../gpu/facts.ts";
import { count } from "../util/shape.ts";
import { planFor, type MemoryQuestion, type TryOnMemory, type TryOnNetworks } from "./memory.ts";

/** Bytes that a GPU is taken to have: WebGPU does not tell. */
const ASSUMED = 8e9;
/** Of the memory: networks this small leave room for the activations of any size that they can be asked for. */
const SMALL = 1 / 16;

/** What fits into a device's memory, as planned. A plan of real sizes takes seconds: each is made once. */
export class Budget {
  readonly #facts: DeviceFacts;
  readonly #memory: number;
  readonly #plans = new WeakMap<TryOnNetworks, Map<string, TryOnMemory["peak"]>>();

  constructor(facts: DeviceFacts, memory = ASSUMED) {
    this.#facts = facts;
    this.#memory = memory;
  }

  /** Whether networks must be loaded one at a time for a run of this size. */
  offloads(networks: TryOnNetworks, question: MemoryQuestion): boolean {
    return !this.#isSmall(networks, question) && this.#peak(networks, question).resident > this.#memory;
  }

  /** Halves of the guidance in one batch: 2 where that fits. */
  guidanceBatch(networks: TryOnNetworks, question: MemoryQuestion, offloads: boolean): 1 | 2 {
    if (!question.guided || this.#isSmall(networks, question)) return 2;
    const peak = this.#peak(networks, question);
    return (offloads ? peak.offloaded : peak.resident) > this.#memory ? 1 : 2;
  }

  #peak(networks: TryOnNetworks, question: MemoryQuestion): TryOnMemory["peak"] {
    const known = this.#plans.get(networks) ?? new Map<string, TryOnMemory["peak"]>();
    this.#plans.set(networks, known);
    const key = JSON.stringify(question);
    const peak = known.get(key) ?? planFor(this.#facts, question, networks).peak;
    known.set(key, peak);
    return peak;
  }

  #isSmall({ garmentUnet, tryOnUnet }: TryOnNetworks, { dtype }: MemoryQuestion): boolean {
    let parameters = 0;
    for (const unet of [garmentUnet, tryOnUnet])
      for (const [, { shape }] of unet.parameters()) parameters += count(shape);
    return parameters * (dtype === "f16" ? 2 : 4) < this.#memory * SMALL;
  }
}
