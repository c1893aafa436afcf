import type { Device } from "../gpu/device.ts";
import type { Module, Parameter } from "../nn/module.ts";
import { Tensor } from "../tensor/tensor.ts";
import { uploadWeight } from "../tensor/upload.ts";
import { DTypeError, WeightsError } from "../util/errors.ts";
import { decodeBF16, decodeF16 } from "../util/float16.ts";
import { sameShape, show, type Shape } from "../util/shape.ts";
import { renameOldAttention } from "./keys.ts";
import { openSafetensors } from "./safetensors.ts";
import { quote, type ByteSource, type TensorInfo, type TensorSource } from "./source.ts";

/** Element types that weights may have in a file. */
type WeightType = "F32" | "F16" | "BF16";

const isWeightType = (dtype: string): dtype is WeightType => dtype === "F32" || dtype === "F16" || dtype === "BF16";

export interface LoadOptions {
  /** What errors call the model: "unet". */
  readonly label: string;
  /** Type of matrices and tables on the device; vectors are always f32. */
  readonly dtype: "f32" | "f16";
  /** Tensors of the file that the model may pass over, by their names in the file. */
  readonly ignore?: (key: string) => boolean;
  /**
   * The model's name for a tensor of the file; by default the names of old VAEs' attention become today's.
   * A renamed tensor may have trailing sizes of 1 that the model lacks: attention weights were once convolutions.
   */
  readonly rename?: (key: string) => string;
  /** Convolution weights whose input channels the file may lack at the end: those become zero. */
  readonly widen?: readonly string[];
}

/** A tensor of the file and the parameter that it fills. */
interface Pair {
  readonly tensor: TensorInfo;
  readonly source: WeightType;
  readonly parameter: Parameter;
}

/** Bytes handed to the device before they are waited for: bounds the staging memory. */
const FLUSH_BYTES = 64 * 2 ** 20;

/**
 * Fills every parameter of a module from a checkpoint, one tensor at a time. Strict: each parameter must be in the
 * file, each tensor of the file in the module, and shapes must be equal, but for what the options allow. On failure
 * the module is left without weights.
 * @throws WeightsError that lists every missing, unexpected, misshapen or unreadable tensor, before anything is read
 */
export async function loadModule(
  device: Device,
  module: Module,
  source: TensorSource,
  options: LoadOptions,
): Promise<void> {
  const pairs = match(module, source, options);
  try {
    let pending = 0;
    for (const { tensor, source: type, parameter } of pairs) {
      const raw = await source.read(tensor.name);
      const bytes =
        raw.length === bytesFor(type, parameter.shape) ? raw : widenInputs(raw, type, tensor.shape, parameter.shape);
      const dtype = parameter.kind === "vector" ? "f32" : options.dtype;
      const { shape, kind } = parameter;
      parameter.set(device.scope(() => uploadWeight(device, bytes, { source: type, shape, kind, dtype })));
      pending += bytes.length;
      if (pending < FLUSH_BYTES) continue;
      await device.flush();
      pending = 0;
    }
    await device.flush();
  } catch (error) {
    module.dispose();
    throw error;
  }
}

/** Throws what `loadModule` would about names, shapes and types; reads nothing. */
export function checkModule(module: Module, source: TensorSource, options: Omit<LoadOptions, "dtype">): void {
  match(module, source, options);
}

const bytesFor = (type: WeightType, shape: Shape): number =>
  shape.reduce((product, size) => product * size, type === "F32" ? 4 : 2);

function match(module: Module, source: TensorSource, options: Omit<LoadOptions, "dtype">): Pair[] {
  const { label, ignore = () => false, rename = renameOldAttention, widen = [] } = options;
  const parameters = new Map(module.parameters());
  const missing = new Set(parameters.keys());
  const unexpected: string[] = [];
  const misshapen: string[] = [];
  const unreadable: string[] = [];
  const pairs: Pair[] = [];
  for (const tensor of source.tensors.values()) {
    if (ignore(tensor.name)) continue;
    const key = rename(tensor.name);
    const parameter = parameters.get(key);
    if (!parameter || !missing.delete(key)) {
      unexpected.push(plain(tensor.name));
      continue;
    }
    const fits =
      sameShape(tensor.shape, parameter.shape) ||
      (key !== tensor.name && sameShape(withoutOnes(tensor.shape, parameter.shape.length), parameter.shape)) ||
      (widen.includes(key) && lacksInputs(tensor.shape, parameter.shape));
    if (!fits) misshapen.push(`${key}: file ${show(tensor.shape)}, model ${show(parameter.shape)}`);
    else if (!isWeightType(tensor.dtype)) unreadable.push(`${key}: ${tensor.dtype}; weights are F32, F16 or BF16`);
    else pairs.push({ tensor, source: tensor.dtype, parameter });
  }
  const problems = { missing: [...missing], unexpected, shape: misshapen, type: unreadable };
  if (Object.values(problems).some((lines) => lines.length)) throw complaint(label, source.name, problems);
  return pairs;
}

/** The shape without sizes of 1 at its end beyond `rank`. */
const withoutOnes = (shape: Shape, rank: number): Shape =>
  shape.slice(rank).every((size) => size === 1) ? shape.slice(0, rank) : shape;

/** True for convolution weights [out, in, ...] that differ in a smaller number of inputs alone. */
const lacksInputs = (file: Shape, model: Shape): boolean =>
  file.length === model.length &&
  file.length >= 2 &&
  file[1]! < model[1]! &&
  file.every((size, i) => i === 1 || size === model[i]);

/** Appends zero channels to each output's inputs. All three types write zero as zero bytes. */
function widenInputs(bytes: Uint8Array, type: WeightType, file: Shape, model: Shape): Uint8Array {
  const wide = new Uint8Array(bytesFor(type, model));
  const outputs = model[0]!;
  const from = bytes.length / outputs;
  const to = wide.length / outputs;
  for (let o = 0; o < outputs; o++) wide.set(bytes.subarray(o * from, (o + 1) * from), o * to);
  if (from * outputs !== bytesFor(type, file))
    throw new WeightsError("widen", `${bytes.length} bytes for ${show(file)}`);
  return wide;
}

const plain = (name: string): string => quote(name).slice(1, -1);

type Problems = Readonly<Record<"missing" | "unexpected" | "shape" | "type", readonly string[]>>;

function complaint(label: string, file: string, problems: Problems): WeightsError {
  const { missing, unexpected, shape, type } = problems;
  const counts = [`${missing.length} missing`, `${unexpected.length} unexpected`, `${shape.length} of another shape`];
  if (type.length) counts.push(`${type.length} of another type`);
  const lines = Object.entries(problems).flatMap(([kind, keys]) => keys.map((key) => `\n  ${kind.padEnd(11)} ${key}`));
  return new WeightsError(label, `${counts.join(", ")} in ${file}${lines.join("")}`);
}

/**
 * Every tensor of a safetensors file on the device, in its row-major order: F32, F16 and BF16 as f32, I32 as i32.
 * The caller disposes of them.
 * @throws FormatError for a malformed file; DTypeError for another element type
 */
export async function loadSafetensors(device: Device, source: ByteSource): Promise<Map<string, Tensor>> {
  const file = await openSafetensors(source);
  const tensors = new Map<string, Tensor>();
  try {
    for (const { name, dtype, shape } of file.tensors.values()) {
      if (!isWeightType(dtype) && dtype !== "I32")
        throw new DTypeError(
          "loadSafetensors",
          `${quote(name)} in ${file.name} is ${dtype}; F32, F16, BF16 and I32 can be loaded`,
        );
      tensors.set(name, Tensor.from(device, decode(dtype, await file.read(name)), shape).keep());
    }
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
  return tensors;
}

/** Numbers of a tensor that was read. */
function decode(dtype: WeightType | "I32", { buffer }: Uint8Array<ArrayBuffer>): Float32Array | Int32Array {
  if (dtype === "I32") return new Int32Array(buffer);
  if (dtype === "F32") return new Float32Array(buffer);
  return dtype === "F16" ? decodeF16(new Uint16Array(buffer)) : decodeBF16(new Uint16Array(buffer));
}
