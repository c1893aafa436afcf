/** What a loss scaler must remember for a run to go on as if it had not stopped. */
export interface LossScalerState {
  readonly scale: number;
  readonly goodSteps: number;
}

const GROWTH_INTERVAL = 2000; // steps without an overflow before the scale doubles
const LARGEST = 2 ** 24;

/**
 * Keeps small gradients within float16's range (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2): the loss is
 * multiplied by `scale`, the gradients are divided by it, and an overflow halves it. With float32 it stays at 1.
 */
export class LossScaler {
  #scale: number;
  #goodSteps = 0;
  readonly #dynamic: boolean;

  constructor(dtype: "f32" | "f16") {
    this.#dynamic = dtype === "f16";
    this.#scale = this.#dynamic ? 2 ** 16 : 1;
  }

  get scale(): number {
    return this.#scale;
  }

  get state(): LossScalerState {
    return { scale: this.#scale, goodSteps: this.#goodSteps };
  }

  restore({ scale, goodSteps }: LossScalerState): void {
    this.#scale = scale;
    this.#goodSteps = goodSteps;
  }

  /** Tells whether the step's gradients were finite. */
  update(finite: boolean): void {
    if (!this.#dynamic) return;
    if (!finite) {
      this.#scale = Math.max(1, this.#scale / 2);
      this.#goodSteps = 0;
    } else if (++this.#goodSteps >= GROWTH_INTERVAL) {
      this.#scale = Math.min(LARGEST, this.#scale * 2);
      this.#goodSteps = 0;
    }
  }
}
