import { Conv2d } from "../../nn/conv2d.ts";
import { Module } from "../../nn/module.ts";
import { linear, mul, slice, sub } from "../../tensor/ops.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { ARCHITECTURES, LpipsTrunk, type LpipsNet } from "./trunk.ts";

/** How much each channel counts; behind a dropout in the published file. */
class Weighting extends Module {
  readonly model: readonly [undefined, Conv2d];

  constructor(channels: number) {
    super();
    this.model = [undefined, new Conv2d(channels, 1, 1, { bias: false })];
  }
}

/** The trained part of LPIPS, `lin0` to `lin4` or `lin6` in the published file. */
export class LpipsWeights extends Module {
  readonly #layers: Weighting[];

  constructor(net: LpipsNet) {
    super();
    this.#layers = ARCHITECTURES[net].channels.map((channels) => new Weighting(channels));
    for (const [i, layer] of this.#layers.entries())
      Object.defineProperty(this, `lin${i}`, { value: layer, enumerable: true });
  }

  /** Squared differences [n, h, w, c] of layer `i` → their weighted sums [n, h, w, 1]. */
  forward(i: number, squares: Tensor): Tensor {
    return this.#layers[i]!.model[1].forward(squares);
  }
}

const SHIFT = [-0.03, -0.088, -0.188] as const;
const SCALE = [0.458, 0.448, 0.45] as const;
/** Keeps a pixel without features from dividing by zero. */
const EPSILON = 1e-10;

/**
 * Learned perceptual distance (Zhang et al. 2018, arXiv 1801.03924, equation 1), version 0.1 of the published weights:
 * at every layer each pixel's features, brought to length 1, are subtracted, squared, weighted by channel and averaged.
 */
export class Lpips {
  /** The network whose features are compared. */
  readonly trunk: LpipsTrunk;
  /** How much each of its channels counts. */
  readonly weights: LpipsWeights;

  constructor(net: LpipsNet) {
    this.trunk = new LpipsTrunk(net);
    this.weights = new LpipsWeights(net);
  }

  /**
   * @param pair - both pictures in -1…1, [2, h, w, 3]
   * @returns 0 for equal pictures
   * @throws ShapeError
   */
  async distance(pair: Tensor): Promise<number> {
    const { device, shape } = pair;
    if (shape.length !== 4 || shape[0] !== 2 || shape[3] !== 3)
      throw new ShapeError("Lpips", `${show(shape)} is not [2, h, w, 3]`);
    const layers = device.scope(() => {
      const shift = Tensor.from(device, SHIFT, [3]);
      const factor = Tensor.from(
        device,
        SCALE.map((scale) => 1 / scale),
        [3],
      );
      return this.trunk.forward(mul(sub(pair, shift), factor));
    });
    try {
      let sum = 0;
      for (const [i, features] of layers.entries()) sum += await this.#layer(i, features);
      return sum;
    } finally {
      for (const features of layers) features.dispose();
    }
  }

  /** Frees the networks. */
  dispose(): void {
    this.trunk.dispose();
    this.weights.dispose();
  }

  /** The mean over pixels of one layer's weighted squares. `features` [2, h, w, c]. */
  async #layer(i: number, features: Tensor): Promise<number> {
    const { device } = features;
    const [, height = 0, width = 0, channels = 0] = features.shape;
    const lengths = device.scope(() => {
      const ones = Tensor.from(device, new Float32Array(channels).fill(1), [1, channels]);
      return linear(mul(features, features), ones);
    });
    const inverse = (await lengths.data()).map((square) => 1 / (Math.sqrt(square) + EPSILON));
    lengths.dispose();
    const weighted = device.scope(() => {
      const unit = mul(features, Tensor.from(device, inverse, [2, height, width, 1]));
      const difference = sub(slice(unit, 0, 0, 1), slice(unit, 0, 1, 2));
      return this.weights.forward(i, mul(difference, difference));
    });
    const values = await weighted.data();
    weighted.dispose();
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  }
}
