import { chain } from "../../nn/chain.ts";
import { Conv2d } from "../../nn/conv2d.ts";
import { Module } from "../../nn/module.ts";
import { concat, maxPool2d } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Networks that the perceptual distance is published for. */
export const LPIPS_NETS = ["alex", "vgg", "squeeze"] as const;
/** One of those networks. */
export type LpipsNet = (typeof LPIPS_NETS)[number];

/** One place of torchvision's `features`. */
type Layer =
  | {
      readonly kind: "conv";
      readonly outputs: number;
      readonly kernel: number;
      readonly stride: number;
      readonly padding: number;
    }
  | { readonly kind: "fire"; readonly squeeze: number; readonly expand: number }
  | { readonly kind: "pool"; readonly kernel: number; readonly ceilMode: boolean }
  | { readonly kind: "relu" };

const conv = (outputs: number, kernel: number, stride: number, padding: number): Layer[] => [
  { kind: "conv", outputs, kernel, stride, padding },
  { kind: "relu" }, // fused into the convolution, but it has a place of its own
];
const fire = (squeeze: number, expand: number): Layer => ({ kind: "fire", squeeze, expand });
const pool = (kernel: number, ceilMode = false): Layer => ({ kind: "pool", kernel, ceilMode });
const vggConvs = (outputs: number, count: number) => Array.from({ length: count }, () => conv(outputs, 3, 1, 1)).flat();

interface Architecture {
  readonly layers: readonly Layer[];
  /** The places whose results are compared. */
  readonly taps: readonly number[];
  /** Their channels. */
  readonly channels: readonly number[];
}

/**
 * torchvision's classification networks up to the last result that LPIPS compares: AlexNet (Krizhevsky 2014, arXiv
 * 1404.5997), VGG-16 (Simonyan and Zisserman 2014, arXiv 1409.1556, D) and SqueezeNet 1.1 (Iandola et al. 2016, arXiv
 * 1602.07360).
 */
export const ARCHITECTURES: Readonly<Record<LpipsNet, Architecture>> = {
  alex: {
    layers: [
      ...[...conv(64, 11, 4, 2), pool(3), ...conv(192, 5, 1, 2), pool(3)],
      ...[...conv(384, 3, 1, 1), ...conv(256, 3, 1, 1), ...conv(256, 3, 1, 1)],
    ],
    taps: [1, 4, 7, 9, 11],
    channels: [64, 192, 384, 256, 256],
  },
  vgg: {
    layers: [
      ...[...vggConvs(64, 2), pool(2), ...vggConvs(128, 2), pool(2), ...vggConvs(256, 3), pool(2)],
      ...[...vggConvs(512, 3), pool(2), ...vggConvs(512, 3)],
    ],
    taps: [3, 8, 15, 22, 29],
    channels: [64, 128, 256, 512, 512],
  },
  squeeze: {
    layers: [
      ...[...conv(64, 3, 2, 0), pool(3, true), fire(16, 64), fire(16, 64), pool(3, true)],
      ...[fire(32, 128), fire(32, 128), pool(3, true), fire(48, 192), fire(48, 192), fire(64, 256), fire(64, 256)],
    ],
    taps: [1, 4, 7, 9, 10, 11, 12],
    channels: [64, 128, 256, 384, 384, 512, 512],
  },
};

/** Few channels, then many from two kernel sizes side by side. */
class Fire extends Module {
  readonly squeeze: Conv2d;
  readonly expand1x1: Conv2d;
  readonly expand3x3: Conv2d;

  constructor(inputs: number, squeeze: number, expand: number) {
    super();
    this.squeeze = new Conv2d(inputs, squeeze, 1);
    this.expand1x1 = new Conv2d(squeeze, expand, 1);
    this.expand3x3 = new Conv2d(squeeze, expand, 3, { padding: 1 });
  }

  forward(x: Tensor): Tensor {
    const narrow = this.squeeze.forward(x, { activation: "relu" });
    const wide = [this.expand1x1, this.expand3x3].map((expand) => expand.forward(narrow, { activation: "relu" }));
    return concat(wide, 3);
  }
}

/** The network whose features LPIPS compares. */
export class LpipsTrunk extends Module {
  readonly features: (Conv2d | Fire | undefined)[] = [];
  readonly #segments: ((x: Tensor) => Tensor)[][] = [];

  constructor(net: LpipsNet) {
    super();
    const { layers, taps } = ARCHITECTURES[net];
    let inputs = 3;
    let segment: ((x: Tensor) => Tensor)[] = [];
    for (const [place, layer] of layers.entries()) {
      if (layer.kind === "conv") {
        const { outputs, kernel, stride, padding } = layer;
        const module = (this.features[place] = new Conv2d(inputs, outputs, kernel, { stride, padding }));
        segment.push((x) => module.forward(x, { activation: "relu" }));
        inputs = outputs;
      } else if (layer.kind === "fire") {
        const module = (this.features[place] = new Fire(inputs, layer.squeeze, layer.expand));
        segment.push((x) => module.forward(x));
        inputs = 2 * layer.expand;
      } else if (layer.kind === "pool") {
        const { kernel, ceilMode } = layer;
        segment.push((x) => maxPool2d(x, { kernelSize: kernel, stride: 2, ceilMode }));
      }
      if (!taps.includes(place)) continue;
      this.#segments.push(segment);
      segment = [];
    }
  }

  /** `x` [n, h, w, 3] → the results of the layers that are compared, [n, h', w', c] each. */
  forward(x: Tensor): Tensor[] {
    const results: Tensor[] = [];
    let last = x;
    for (const segment of this.#segments) results.push((last = chain(last, segment)));
    return results;
  }
}
