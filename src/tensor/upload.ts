import type { Device } from "../gpu/device.ts";
import { ranges } from "../kernels/bands.ts";
import { convert, pack, RAW_BYTES } from "../kernels/pack.ts";
import { ShapeError } from "../util/errors.ts";
import { count, show, type Shape } from "../util/shape.ts";
import { packedSizes } from "./packing.ts";
import { BYTES, Tensor } from "./tensor.ts";

export interface UploadOptions {
  /** Type of the bytes. */
  readonly source: "F32" | "F16" | "BF16";
  readonly shape: Shape;
  /** Matrices are packed; vectors become f32 whatever `dtype` says; tables keep their rows. */
  readonly kind: "matrix" | "vector" | "table";
  readonly dtype: "f32" | "f16";
}

const CHUNK_BYTES = 32 * 2 ** 20; // staging of one piece of a large tensor

/**
 * A weight from a checkpoint's bytes. They go to the device as they are and are converted and packed there.
 * @throws ShapeError when the bytes do not fill the shape
 */
export function uploadWeight(device: Device, bytes: Uint8Array, { source, shape, kind, dtype }: UploadOptions): Tensor {
  const size = RAW_BYTES[source];
  if (bytes.length !== count(shape) * size)
    throw new ShapeError("uploadWeight", `${bytes.length} bytes of ${source} for shape ${show(shape)}`);
  const elem = kind === "vector" ? "f32" : dtype;
  const most = Math.min(CHUNK_BYTES, device.facts.limits.maxStorageBufferBindingSize);
  if (kind === "matrix") {
    const { taps, inputs, outputs, inputs4, outputs4 } = packedSizes(shape);
    const y = Tensor.emptyPacked(device, shape, elem, taps * inputs4 * outputs4 * BYTES[elem]);
    const rowBytes = inputs * taps * size;
    for (const { start, length } of ranges(outputs, Math.max(4, Math.floor(most / rowBytes / 4) * 4))) {
      const raw = device.upload(bytes.subarray(start * rowBytes, (start + length) * rowBytes));
      pack(device, raw, y.view, { source, elem, outputs, inputs, taps, firstOutput: start, rows: length });
      device.release(raw);
    }
    return y;
  }
  if (source.toLowerCase() === elem) return Tensor.fromBytes(device, bytes, shape, elem);
  const y = Tensor.empty(device, shape, elem);
  const perChunk = Math.floor(most / 4 / 256) * 256;
  for (const { start, length } of ranges(count(shape), perChunk)) {
    const raw = device.upload(bytes.subarray(start * size, (start + length) * size));
    const to = { buffer: y.view.buffer, offset: start * BYTES[elem], bytes: length * BYTES[elem] };
    convert(device, raw, to, length, source, elem);
    device.release(raw);
  }
  return y;
}
