/** Element types of safetensors with their bits, in the order by which the reference writer sorts (largest last). */
export const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ["BOOL", 8],
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["U8", 8],
  ["I8", 8],
  ["F8_E5M2", 8],
  ["F8_E4M3", 8],
  ["F8_E8M0", 8],
  ["F8_E4M3FNUZ", 8],
  ["F8_E5M2FNUZ", 8],
  ["I16", 16],
  ["U16", 16],
  ["F16", 16],
  ["BF16", 16],
  ["I32", 32],
  ["U32", 32],
  ["F32", 32],
  ["C64", 64],
  ["F64", 64],
  ["I64", 64],
  ["U64", 64],
]);

/** Bytes of a tensor, or undefined where a count passes 2^53 - 1 or a tensor ends inside a byte. */
export function byteLengthOf(dtype: string, shape: readonly number[]): number | undefined {
  // Zeros are left out of the product first: they must not hide an overflow. A double's product of integers is
  // exact below 2^53 and at least 2^53 otherwise, so the check needs no BigInt.
  let elements = 1;
  for (const size of shape) {
    if (size !== 0) elements *= size;
    if (!Number.isSafeInteger(elements)) return undefined;
  }
  const bits = (shape.includes(0) ? 0 : elements) * (DTYPE_BITS.get(dtype) ?? NaN);
  return Number.isSafeInteger(bits) && bits % 8 === 0 ? bits / 8 : undefined;
}
