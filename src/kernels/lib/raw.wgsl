// Numbers of a checkpoint as they lie in its file: the kernel declares `raw: array<u32>` and SOURCE
// (0 float32, 1 float16, 2 bfloat16, 3 int32). Halves are decoded by their bits, so that a device without
// shader-f16 reads them too and subnormals survive drivers that flush them.
fn element(i: u32) -> f32 {
  if (SOURCE == 0u) { return bitcast<f32>(raw[i]); }
  if (SOURCE == 3u) { return f32(bitcast<i32>(raw[i])); }
  let bits = (raw[i / 2u] >> (i % 2u * 16u)) & 0xffffu;
  if (SOURCE == 2u) { return bitcast<f32>(bits << 16u); }
  let sign = (bits & 0x8000u) << 16u;
  let exponent = (bits >> 10u) & 31u;
  let fraction = bits & 1023u;
  if (exponent == 0u) {
    let tiny = f32(fraction) * 5.9604645e-8; // 2^-24: zero or a subnormal half
    return bitcast<f32>(bitcast<u32>(tiny) | sign);
  }
  return bitcast<f32>(sign | (select(exponent + 112u, 255u, exponent == 31u) << 23u) | (fraction << 13u));
}
