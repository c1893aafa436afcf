// What happens to four neighbouring results of a product before they are stored: activation(sum + bias + shift) + residual.
// The kernel declares `bias`, `shift` and `residual`; absent ones are bound to any buffer and never read.
fn epilogue(sum: vec4f, batch: u32, row: u32, column4: u32, at: u32) -> vec4f {
  var v = sum;
  if (BIAS) { v += bias[column4]; }
  if (SHIFT) { v += vec4f(shift[(p.first_shift + (batch * p.m + row) / p.rows_per_shift) * p.n4 + column4]); }
  v = activate4(v, ACT);
  if (RESIDUAL) { v += vec4f(residual[at]); }
  return v;
}
