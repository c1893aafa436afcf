import type { DType, Tensor } from "../tensor/tensor.ts";
import { ShapeError, WeightsError } from "../util/errors.ts";
import { sameShape, show, type Shape } from "../util/shape.ts";

/**
 * How a weight is stored. `matrix`: linear and convolution weights, in the model's type and the kernels' memory order.
 * `vector`: biases, norms and single embeddings, always f32. `table`: rows that are looked up, in the model's type.
 */
export type ParameterKind = "matrix" | "vector" | "table";

/** One trained tensor of a model, under the shape it has in the checkpoint. */
export class Parameter {
  /** The shape in the checkpoint. */
  readonly shape: Shape;
  /** How it is stored. */
  readonly kind: ParameterKind;
  #tensor: Tensor | undefined;

  constructor(shape: Shape, kind: ParameterKind) {
    this.shape = shape;
    this.kind = kind;
  }

  /** Whether it has numbers. */
  get loaded(): boolean {
    return this.#tensor !== undefined;
  }

  /** Its numbers. @throws {WeightsError} before weights were loaded. */
  get tensor(): Tensor {
    if (!this.#tensor) throw new WeightsError("parameter", `the weight of shape ${show(this.shape)} was not loaded`);
    return this.#tensor;
  }

  /** Takes over a tensor of this parameter's shape; the one held before is disposed of. */
  set(tensor: Tensor): void {
    if (!sameShape(tensor.shape, this.shape))
      throw new ShapeError("parameter", `${show(tensor.shape)} for a weight of shape ${show(this.shape)}`);
    if (this.#tensor !== tensor) this.#tensor?.dispose();
    this.#tensor = tensor.keep();
  }

  /** Puts another tensor in place; the one held before is the caller's from now on. @throws as `set` and `tensor` */
  exchange(tensor: Tensor): Tensor {
    const { tensor: before } = this;
    this.#tensor = undefined;
    try {
      this.set(tensor);
    } catch (error) {
      this.#tensor = before;
      throw error;
    }
    return before;
  }

  /** Frees its numbers; it can be given others. */
  dispose(): void {
    this.#tensor?.dispose();
    this.#tensor = undefined;
  }
}

/**
 * A part of a model. Its fields are spelled as the checkpoint's keys: a parameter's key is the path of fields and
 * array positions that leads to it, so no model has a table of names. Fields that begin with `#` are not walked, and
 * an undefined entry of an array keeps a position that has no weights.
 */
export abstract class Module {
  /** Every parameter with its key, in the order of the fields. */
  *parameters(prefix = ""): Generator<[key: string, parameter: Parameter]> {
    for (const [path, value] of children(this, prefix)) {
      if (value instanceof Parameter) yield [path, value];
      else yield* value.parameters(path);
    }
  }

  /** This module and every module inside, with its path, outer ones first. */
  *modules(prefix = ""): Generator<[path: string, module: Module]> {
    yield [prefix, this];
    for (const [path, value] of children(this, prefix)) if (value instanceof Module) yield* value.modules(path);
  }

  /** The type that matrices, and therefore activations, have. */
  get dtype(): DType {
    for (const [, parameter] of this.parameters()) if (parameter.kind === "matrix") return parameter.tensor.dtype;
    return "f32";
  }

  /** Frees every weight. */
  dispose(): void {
    for (const [, parameter] of this.parameters()) parameter.dispose();
  }
}

function* children(module: Module, prefix: string): Generator<[path: string, value: Parameter | Module]> {
  const start = prefix === "" ? "" : `${prefix}.`;
  for (const [field, value] of Object.entries(module)) yield* walk(start + field, value);
}

function* walk(path: string, value: unknown): Generator<[path: string, value: Parameter | Module]> {
  if (value instanceof Parameter || value instanceof Module) yield [path, value];
  else if (Array.isArray(value)) for (const [i, item] of value.entries()) yield* walk(`${path}.${i}`, item);
}
