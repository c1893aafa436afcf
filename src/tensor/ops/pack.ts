import { bindRange, ranges } from "../../kernels/bands.ts";
import { pack } from "../../kernels/pack.ts";
import { turn } from "../../kernels/turn.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { floatType } from "../check.ts";
import { packedSizes } from "../packing.ts";
import { recorded } from "../recording.ts";
import { BYTES, Tensor } from "../tensor.ts";

/**
 * A weight in the memory order that `linear` and `conv2d` read fastest; its shape stays.
 * @param weight [out, in] or [out, in, kh, kw]
 * @throws ShapeError, DTypeError
 */
export function packWeight(weight: Tensor): Tensor {
  const { shape } = weight;
  if (weight.packed) throw new ShapeError("packWeight", `weight ${show(shape)} is packed already`);
  floatType("packWeight", weight);
  if (shape.length < 2) throw new ShapeError("packWeight", `weight must be [out, in, ...kernel], got ${show(shape)}`);
  // a packed weight's gradient is in natural order
  const rule = { inputs: [weight], save: () => ({}), backward: (g: Tensor) => [g] };
  return recorded(weight.device, rule, () => packed(weight));
}

function packed(weight: Tensor): Tensor {
  const { device, shape } = weight;
  const elem = floatType("packWeight", weight);
  const { taps, inputs, outputs, inputs4, outputs4 } = packedSizes(shape);
  const y = Tensor.emptyPacked(device, shape, elem, taps * inputs4 * outputs4 * BYTES[elem]);
  const rowBytes = inputs * taps * BYTES[elem];
  const { limits } = device.facts;
  const most =
    Math.floor((limits.maxStorageBufferBindingSize - limits.minStorageBufferOffsetAlignment) / rowBytes / 4) * 4;
  for (const { start, length } of ranges(outputs, Math.max(4, most))) {
    const raw = bindRange(limits, weight.view, start * rowBytes, length * rowBytes);
    const source = elem === "f16" ? "F16" : "F32";
    const skip = raw.skip / BYTES[elem];
    pack(device, raw.view, y.view, { source, elem, outputs, inputs, taps, firstOutput: start, rows: length, skip });
  }
  return y;
}

/**
 * The packed weight [in, out, ...kernel] of a product's or convolution's gradient in its input: inputs and outputs
 * exchanged, taps reversed. Unrecorded.
 */
export function turnedWeight(weight: Tensor): Tensor {
  const { device, dtype, shape } = weight;
  const [out = 0, inputs = 0, ...kernel] = shape;
  const { taps, inputs4, outputs4 } = packedSizes(shape);
  const own = weight.packed ? weight : packed(weight);
  const y = Tensor.emptyPacked(device, [inputs, out, ...kernel], dtype, own.view.bytes);
  const elem = dtype === "f16" ? "f16" : "f32";
  turn(device, own.view, y.view, { taps, inputs4: inputs4 / 4, outputs4: outputs4 / 4, elem });
  return y;
}
