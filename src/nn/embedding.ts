import { embedding } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module, Parameter } from "./module.ts";

/** A table of rows. */
export class Embedding extends Module {
  readonly weight: Parameter;

  constructor(count: number, channels: number) {
    super();
    this.weight = new Parameter([count, channels], "table");
  }

  /** `ids` i32 [...] → the rows they name, [..., c]. */
  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight.tensor);
  }
}
