import { groupNorm, layerNorm } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module, Parameter } from "./module.ts";

/** Normalizes groups of channels over the whole image (Wu and He 2018, arXiv 1803.08494). */
export class GroupNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #groups: number;
  readonly #eps: number;

  constructor(groups: number, channels: number, { eps = 1e-5 }: { eps?: number } = {}) {
    super();
    this.weight = new Parameter([channels], "vector");
    this.bias = new Parameter([channels], "vector");
    this.#groups = groups;
    this.#eps = eps;
  }

  /** `x` [n, ..., c] → the same shape; `silu` applies SiLU in the same pass. */
  forward(x: Tensor, { silu = false }: { silu?: boolean } = {}): Tensor {
    const options = { weight: this.weight.tensor, bias: this.bias.tensor, eps: this.#eps };
    return groupNorm(x, this.#groups, silu ? { ...options, activation: "silu" } : options);
  }
}

/** Normalizes each row of channels (Ba et al. 2016, arXiv 1607.06450). */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #eps: number;

  constructor(channels: number, { eps = 1e-5 }: { eps?: number } = {}) {
    super();
    this.weight = new Parameter([channels], "vector");
    this.bias = new Parameter([channels], "vector");
    this.#eps = eps;
  }

  /** `x` [..., c] → the same shape. */
  forward(x: Tensor): Tensor {
    return layerNorm(x, { weight: this.weight.tensor, bias: this.bias.tensor, eps: this.#eps });
  }
}
