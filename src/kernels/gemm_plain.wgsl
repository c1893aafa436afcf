// Matrix product and convolution with nothing but loads: one thread owns one row of four columns.
// The simplest form, against which the others are measured, and the choice for a few rows.

//!spec
alias elem = f32; // storage type of x, w, shift and residual; sums are f32
alias stored = f32; // type of y: elem, or f32 for the parts of a split product
const CONV: bool = false;
const W_ROWS: bool = false;
//!end

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64u + lane;
  let column4 = i % p.n4;
  let row = i / p.n4 % p.m;
  if (i >= p.tiles_n * p.n4 * p.m) { return; } // here tiles_n counts batches and their parts
  let part = part_of(i / (p.n4 * p.m), p.taps * p.k4);

  let place = place_of(part.batch, row);
  var sum = vec4f();
  for (var step = part.first; step < part.end; step++) {
    let tap = step / p.k4;
    let k = step % p.k4;
    sum += load_w(part.batch * p.w_batch, tap, k, column4) * load_x(tap_at(place, tap), k);
  }
  store(part, row, column4, sum);
}
