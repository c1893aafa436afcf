import { count, type Shape } from "../util/shape.ts";

const up4 = (n: number) => Math.ceil(n / 4) * 4;

/** Sizes of a packed weight: [taps][inputs, padded to 4][outputs, padded to 4]. */
export interface PackedSizes {
  readonly taps: number;
  readonly inputs: number;
  readonly outputs: number;
  /** Padded counts. */
  readonly inputs4: number;
  readonly outputs4: number;
}

/** Packed sizes of a linear weight [out, in] or a convolution's [out, in, kh, kw]. */
export function packedSizes(shape: Shape): PackedSizes {
  const [outputs = 1, inputs = 1, ...kernel] = shape;
  return { taps: count(kernel), inputs, outputs, inputs4: up4(inputs), outputs4: up4(outputs) };
}

/** Undoes the packing of a weight read back to the host. */
export function unpackOrder(packed: Float32Array, shape: Shape): Float32Array {
  const { taps, inputs, outputs, inputs4, outputs4 } = packedSizes(shape);
  const natural = new Float32Array(count(shape));
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let t = 0; t < taps; t++) natural[(o * inputs + i) * taps + t] = packed[(t * inputs4 + i) * outputs4 + o]!;
  return natural;
}
