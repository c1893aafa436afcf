import type { Device } from "../gpu/device.ts";
import type { View } from "../gpu/kernel.ts";
import { DTypeError, ShapeError } from "../util/errors.ts";
import { decodeF16, encodeF16 } from "../util/float16.ts";
import { count, sameShape, show, type Shape } from "../util/shape.ts";
import { unpackOrder } from "./packing.ts";
import { recorded } from "./recording.ts";

/** Types of elements. Floats are computed in float32 and stored in 32 or 16 bits; i32 holds indices. */
export type DType = "f32" | "f16" | "i32";

export const BYTES: Readonly<Record<DType, number>> = { f32: 4, f16: 2, i32: 4 };

/** Device memory that tensors of several shapes may share. */
interface Storage {
  readonly view: View;
  users: number;
}

/**
 * An array on a device. Images are [n, h, w, c] and tokens [n, t, c]: one is a reshape of the other.
 * A tensor lives until `dispose()`, or until the `device.scope` it was made in ends without returning it.
 */
export class Tensor {
  /** Where it lies. Operators refuse tensors of two devices. */
  readonly device: Device;
  /** Sizes, outermost first; [] is a single number. */
  readonly shape: Shape;
  /** Type of the elements. */
  readonly dtype: DType;
  /** A weight whose memory order suits the kernels; its shape stays the checkpoint's. */
  readonly packed: boolean;
  readonly #storage: Storage;
  #disposed = false;

  private constructor(device: Device, storage: Storage, shape: Shape, dtype: DType, packed: boolean) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.packed = packed;
    this.#storage = storage;
    storage.users++;
    device.adopt(this);
  }

  /** A tensor whose content is undefined until a kernel writes it. */
  static empty(device: Device, shape: Shape, dtype: DType = "f32"): Tensor {
    const view = device.reserve(byteCount("Tensor.empty", shape, dtype));
    return new Tensor(device, { view, users: 0 }, shape, dtype, false);
  }

  /** A weight in the kernels' memory order: `bytes` covers its padding. */
  static emptyPacked(device: Device, shape: Shape, dtype: DType, bytes: number): Tensor {
    return new Tensor(device, { view: device.reserve(bytes), users: 0 }, shape, dtype, true);
  }

  /** Copies numbers to the device. The type is i32 for an Int32Array, else f32; f16 rounds to nearest even. */
  static from(
    device: Device,
    data: Float32Array | Int32Array | readonly number[],
    shape: Shape,
    dtype: DType = data instanceof Int32Array ? "i32" : "f32",
  ): Tensor {
    byteCount("Tensor.from", shape, dtype);
    const odd = Array.isArray(data) ? data.findIndex((value) => typeof value !== "number") : -1;
    if (odd >= 0) throw new DTypeError("Tensor.from", `element ${odd} is a ${typeof data[odd]}, not a number`);
    if (data.length !== count(shape))
      throw new ShapeError("Tensor.from", `${data.length} numbers for shape ${show(shape)}`);
    const broken = dtype === "i32" && !(data instanceof Int32Array) ? data.findIndex((n) => n !== (n | 0)) : -1;
    if (broken >= 0) throw new DTypeError("Tensor.from", `element ${broken} is ${data[broken]}, which is no i32`);
    const view = device.upload(encode(data, dtype));
    return new Tensor(device, { view, users: 0 }, [...shape], dtype, false);
  }

  /** Copies bytes that already are elements of `dtype`. */
  static fromBytes(device: Device, bytes: Uint8Array, shape: Shape, dtype: DType): Tensor {
    const needed = byteCount("Tensor.fromBytes", shape, dtype);
    if (bytes.length !== needed)
      throw new ShapeError("Tensor.fromBytes", `${bytes.length} bytes for ${show(shape)} of ${dtype}`);
    return new Tensor(device, { view: device.upload(bytes), users: 0 }, [...shape], dtype, false);
  }

  /** A tensor of zeros. @throws ShapeError */
  static zeros(device: Device, shape: Shape, dtype: DType = "f32"): Tensor {
    const view = device.upload(new Uint8Array(byteCount("Tensor.zeros", shape, dtype)));
    return new Tensor(device, { view, users: 0 }, [...shape], dtype, false);
  }

  /** Number of elements. */
  get size(): number {
    return count(this.shape);
  }

  /** Where it lies on the device. */
  get view(): View {
    if (this.#disposed) throw new ShapeError("tensor", `${show(this.shape)} was used after dispose()`);
    return this.#storage.view;
  }

  /** Whether `dispose()` was called, or the scope that made it has ended. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** The same memory in another shape; one size may be -1. */
  reshape(...shape: readonly number[]): Tensor {
    const known = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
    const whole = shape.map((size) => (size === -1 ? this.size / known : size));
    if (
      count(whole) !== this.size ||
      whole.some((size) => !Number.isInteger(size)) ||
      shape.filter((size) => size === -1).length > 1
    )
      throw new ShapeError("reshape", `${show(this.shape)} does not fill ${show(shape)}`);
    if (this.packed) throw new ShapeError("reshape", `a packed weight ${show(this.shape)} cannot be reshaped`);
    void this.view;
    return this.#reshaped(whole);
  }

  /** A 1x1 convolution's weight [out, in, 1, 1] as a linear layer's [out, in]: the packed order is the same. */
  asMatrix(): Tensor {
    const [out = 0, inputs = 0] = this.shape;
    if (count(this.shape) !== out * inputs)
      throw new ShapeError("asMatrix", `${show(this.shape)} is not [out, in, 1, 1]`);
    void this.view;
    return this.#reshaped([out, inputs]);
  }

  /** Another handle on the same memory, with a life of its own. */
  share(): Tensor {
    void this.view;
    return new Tensor(this.device, this.#storage, this.shape, this.dtype, this.packed);
  }

  #reshaped(shape: Shape): Tensor {
    const before = this.shape;
    return recorded(
      this.device,
      { inputs: [this], save: () => ({}), backward: (g) => [g.reshape(...before)] },
      () => new Tensor(this.device, this.#storage, shape, this.dtype, this.packed),
    );
  }

  /** Reads it back as float32, in natural order. Waits for everything recorded before. */
  async data(): Promise<Float32Array> {
    const { view } = this;
    const bytes = await this.device.read(view);
    const values = decode(bytes, this.dtype);
    return this.packed ? unpackOrder(values, this.shape) : values;
  }

  /**
   * Overwrites its numbers with those of another tensor: for the inputs of a recording. Tensors that share its memory
   * change with it.
   * @throws ShapeError, DTypeError unless both are alike
   */
  assign(other: Tensor): this {
    if (!sameShape(other.shape, this.shape) || other.packed !== this.packed)
      throw new ShapeError("assign", `${show(other.shape)} to a tensor of shape ${show(this.shape)}`);
    if (other.dtype !== this.dtype) throw new DTypeError("assign", `${other.dtype} to a tensor of ${this.dtype}`);
    const [from, to] = [other.view, this.view];
    if (other.#storage !== this.#storage) this.device.copy(from, to); // WebGPU copies nothing to itself
    return this;
  }

  /** Takes it out of every scope: it lives until `dispose()`. */
  keep(): this {
    this.device.orphan(this);
    return this;
  }

  /** Gives its memory back. Harmless when repeated. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.device.orphan(this);
    if (--this.#storage.users === 0) this.device.release(this.#storage.view);
  }
}

/** Bytes of a tensor. @throws ShapeError, DTypeError when there can be none such */
function byteCount(op: string, shape: Shape, dtype: DType): number {
  if (!Object.hasOwn(BYTES, dtype)) throw new DTypeError(op, `no type "${String(dtype)}": f32, f16 or i32`);
  if (!Array.isArray(shape)) throw new ShapeError(op, "the shape is missing");
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0))
    throw new ShapeError(op, `sizes must be whole and not negative, got ${show(shape)}`);
  return count(shape) * BYTES[dtype];
}

function encode(data: Float32Array | Int32Array | readonly number[], dtype: DType): ArrayBufferView {
  if (dtype === "i32") return Int32Array.from(data);
  const floats = data instanceof Float32Array ? data : Float32Array.from(data);
  return dtype === "f16" ? encodeF16(floats) : floats;
}

function decode(bytes: ArrayBuffer, dtype: DType): Float32Array {
  if (dtype === "f16") return decodeF16(new Uint16Array(bytes));
  return dtype === "i32" ? Float32Array.from(new Int32Array(bytes)) : new Float32Array(bytes);
}
