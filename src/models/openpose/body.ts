import type { Activation } from "../../kernels/activation.ts";
import { chain } from "../../nn/chain.ts";
import { Conv2d } from "../../nn/conv2d.ts";
import { Module } from "../../nn/module.ts";
import { concat, maxPool2d } from "../../tensor/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";

/** Part-affinity fields: two channels, x and y, for each of the 19 limbs. */
export const FIELDS = 38;
/** Heat maps: one for each of the 18 joints, and the background. */
export const HEATS = 19;
const FEATURES = 128;
const STAGES = 6;

/** The trunk: names, channels, and after which convolutions the picture is halved (VGG-19's first ten, and two more). */
const TRUNK: readonly (readonly [name: string, outputs: number, pool?: "pool"])[] = [
  ["conv1_1", 64],
  ["conv1_2", 64, "pool"],
  ["conv2_1", 128],
  ["conv2_2", 128, "pool"],
  ["conv3_1", 256],
  ["conv3_2", 256],
  ["conv3_3", 256],
  ["conv3_4", 256, "pool"],
  ["conv4_1", 512],
  ["conv4_2", 512],
  ["conv4_3_CPM", 256],
  ["conv4_4_CPM", FEATURES],
];

type Step = (x: Tensor) => Tensor;
/** 1: part-affinity fields; 2: heat maps. The checkpoint's own numbers. */
type Branch = 1 | 2;

export interface BodyMaps {
  /** Part-affinity fields [n, h / 8, w / 8, 38]. */
  readonly paf: Tensor;
  /** Heat maps [n, h / 8, w / 8, 19], the last one the background. Never negative. */
  readonly heat: Tensor;
}

/**
 * The body network of OpenPose for COCO's 18 joints (Cao et al. 2017, arXiv 1611.08050, figure 3): features of the
 * picture, then six stages of which each refines the fields and heat maps of the one before.
 * The checkpoint keeps its 92 convolutions side by side under regular names; they are fields of this class.
 */
export class OpenposeBody extends Module {
  readonly #trunk: Step[] = [];
  readonly #stages: Readonly<Record<Branch, Step>>[] = [];

  constructor() {
    super();
    let inputs = 3;
    for (const [name, outputs, pool] of TRUNK) {
      this.#trunk.push(this.#conv(name, inputs, outputs, 3, "relu"));
      if (pool) this.#trunk.push((x) => maxPool2d(x, { kernelSize: 2, stride: 2 }));
      inputs = outputs;
    }
    this.#stages.push({ 1: this.#firstStage(1), 2: this.#firstStage(2) });
    for (let stage = 2; stage <= STAGES; stage++)
      this.#stages.push({ 1: this.#laterStage(stage, 1), 2: this.#laterStage(stage, 2) });
  }

  /**
   * `x` [n, h, w, 3] of blue, green and red in -0.5…0.5; h and w are multiples of 8.
   * @throws ShapeError
   */
  forward(x: Tensor): BodyMaps {
    const [, height = 0, width = 0, channels] = x.shape;
    if (x.shape.length !== 4 || channels !== 3 || height % 8 !== 0 || width % 8 !== 0)
      throw new ShapeError("OpenposeBody", `x must be [n, 8·i, 8·j, 3], got ${show(x.shape)}`);
    return x.device.scope(() => {
      const features = chain(x, this.#trunk);
      let maps: BodyMaps | undefined;
      for (const stage of this.#stages) {
        const input = maps ? concat([maps.paf, maps.heat, features], 3) : features;
        maps = { paf: stage[1](input), heat: stage[2](input) };
      }
      return maps!;
    });
  }

  /** Three 3x3 and two 1x1 convolutions on the features. */
  #firstStage(branch: Branch): Step {
    const name = (i: number) => `conv5_${i}_CPM_L${branch}`;
    const steps = [1, 2, 3].map((i) => this.#conv(name(i), FEATURES, FEATURES, 3, "relu"));
    steps.push(this.#conv(name(4), FEATURES, 512, 1, "relu"), this.#conv(name(5), 512, channelsOf(branch), 1, "none"));
    return (x) => chain(x, steps);
  }

  /** Five 7x7 and two 1x1 convolutions on fields, heat maps and features. */
  #laterStage(stage: number, branch: Branch): Step {
    const name = (i: number) => `Mconv${i}_stage${stage}_L${branch}`;
    const steps = [this.#conv(name(1), FIELDS + HEATS + FEATURES, FEATURES, 7, "relu")];
    for (let i = 2; i <= 5; i++) steps.push(this.#conv(name(i), FEATURES, FEATURES, 7, "relu"));
    // The published network clips the last heat maps at 0, though those of the other stages may be negative.
    const last = stage === STAGES && branch === 2 ? "relu" : "none";
    steps.push(this.#conv(name(6), FEATURES, FEATURES, 1, "relu"));
    steps.push(this.#conv(name(7), FEATURES, channelsOf(branch), 1, last));
    return (x) => chain(x, steps);
  }

  /** Makes a convolution a field of this module, so that its weights are found under `name`. */
  #conv(name: string, inputs: number, outputs: number, kernel: number, activation: Activation): Step {
    const conv = new Conv2d(inputs, outputs, kernel, { padding: (kernel - 1) / 2 });
    Object.defineProperty(this, name, { value: conv, enumerable: true });
    return (x) => conv.forward(x, { activation });
  }
}

const channelsOf = (branch: Branch) => (branch === 1 ? FIELDS : HEATS);
