// What happens to four neighbouring results of a product before they are stored: activation(sum + bias + shift) + residual.
// Which of these there are is a parameter, not a spec constant: products are the largest kernels, and drivers take a
// second or more for each variant. What is absent is bound to anything and never read.

const HAS_BIAS: u32 = 1u;
const HAS_SHIFT: u32 = 2u;
const HAS_RESIDUAL: u32 = 4u;

fn epilogue(sum: vec4f, batch: u32, row: u32, column4: u32, at: u32) -> vec4f {
  var v = sum;
  if ((p.extras & HAS_BIAS) != 0u) { v += bias[column4]; }
  if ((p.extras & HAS_SHIFT) != 0u) {
    v += vec4f(shift[(p.first_shift + (batch * p.m + row) / p.rows_per_shift) * p.n4 + column4]);
  }
  if (p.activation != 0u) { v = activate4(v, p.activation); }
  if ((p.extras & HAS_RESIDUAL) != 0u) { v += vec4f(residual[at]); }
  return v;
}

// Value · gelu(gate) (Shazeer 2020), each with its bias: of `half` columns, gates come after values.
fn gated(value: vec4f, gate: vec4f, column4: u32, half: u32) -> vec4f {
  if ((p.extras & HAS_BIAS) == 0u) { return value * gelu4(gate); }
  return (value + bias[column4]) * gelu4(gate + bias[half + column4]);
}
