import { add, cast, concat, mul, slice } from "../../tensor/ops.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { InputError, ShapeError } from "../../util/errors.ts";
import { TorchGenerator } from "../../util/random.ts";
import { show } from "../../util/shape.ts";
import { batchPart } from "../unet/conditioning.ts";
import { selfOnly, type Fusion, type FusionPass } from "../unet/fusion.ts";
import { spread } from "../unet/garment_keys.ts";
import type { FusionInputs, FusionStrategy } from "./strategy.ts";

/** Of a pass: √Πα and √(1 − Πα), [1 or n, 1, 1, 1] each. */
interface Levels {
  readonly signal: Tensor;
  readonly noise: Tensor;
}

/**
 * The network's picture is as many times as wide as there are pictures: the person at the left, garments beside it.
 * What a garment's part should become is known, so it is set anew at every step to the garment at the step's noise
 * level, and of the network's answer only the person's part is kept.
 */
class Spatial implements Fusion {
  /** The VAE's modes, [m, h, w, c]. */
  readonly #garments: readonly Tensor[];
  readonly #scale: number;
  /** [1, h, w, c], the same at every step. */
  readonly #noise: Tensor;
  #levels: Levels | undefined;

  constructor({ garments, latentScale }: FusionInputs) {
    this.#garments = garments.map(({ latents }) => latents);
    this.#scale = latentScale;
    const { device, dtype, shape } = this.#garments[0]!;
    const one = [1, ...shape.slice(1)];
    this.#noise = Tensor.from(device, new TorchGenerator(0).randn(one), one, dtype).keep();
  }

  before({ alphas }: FusionPass): void {
    const { device, dtype } = this.#noise;
    const tensor = (of: (alpha: number) => number) => Tensor.from(device, alphas.map(of), [alphas.length, 1, 1, 1], dtype); // prettier-ignore
    const now = { signal: tensor(Math.sqrt), noise: tensor((alpha) => Math.sqrt(1 - alpha)) };
    if (this.#levels?.signal.shape[0] === alphas.length) {
      this.#levels.signal.assign(now.signal);
      this.#levels.noise.assign(now.noise);
      return;
    }
    this.#freeLevels();
    this.#levels = { signal: now.signal.keep(), noise: now.noise.keep() };
  }

  selfAttention = selfOnly.selfAttention;

  input(sample: Tensor): Tensor {
    return this.#beside(sample, this.#garments);
  }

  output(predicted: Tensor): Tensor {
    return slice(predicted, 2, 0, predicted.shape[2]! / (1 + this.#garments.length));
  }

  part(index: number, count: number): Fusion {
    return {
      selfAttention: this.selfAttention,
      input: (sample) => this.#beside(sample, this.#garments.map((latents) => batchPart(latents, index, count))), // prettier-ignore
      output: (predicted) => this.output(predicted),
    };
  }

  dispose(): void {
    this.#noise.dispose();
    this.#freeLevels();
  }

  #freeLevels(): void {
    this.#levels?.signal.dispose();
    this.#levels?.noise.dispose();
  }

  /** [n, h, w, 2c] and [m, h, w, c] each → [n, h, (1 + garments) · w, 2c]. */
  #beside(sample: Tensor, garments: readonly Tensor[]): Tensor {
    const levels = this.#levels;
    if (!levels) throw new InputError("spatial", "noise levels need before() to be called");
    const [n = 0, ...size] = sample.shape;
    const others = garments.map((garment) => {
      const [m = 0, h, w, c = 0] = garment.shape;
      if (size[0] !== h || size[1] !== w || size[2] !== 2 * c || n % m !== 0)
        throw new ShapeError("spatial", `${show(garment.shape)} does not fit beside ${show(sample.shape)}`);
      const clean = spread(garment, n);
      const noisy = add(mul(mul(clean, this.#scale), levels.signal), mul(this.#noise, levels.noise));
      return concat([cast(noisy, sample.dtype), clean], 3);
    });
    return concat([sample, ...others], 2);
  }
}

/**
 * CatVTON's spatial concatenation (Chong et al. 2024, arXiv 2407.15886, section 3.2): person and garment side by side
 * in one picture, which the plain network sees as one; no garment UNet. CatVTON denoises the garment's part along with
 * the person's; here it is put back at every step, as the known part of a picture is in inpainting.
 */
export const spatial: FusionStrategy = {
  name: "spatial",
  reads: "latents",
  fuse: (inputs) => new Spatial(inputs),
};
