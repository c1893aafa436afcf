// Matrix product and convolution with nothing but loads: one thread owns one row of four columns.
// The simplest form, against which the others are measured, and the choice for a few rows.

//!spec
alias elem = f32; // storage type of x, w, shift and residual; sums are f32
alias stored = f32; // type of y: elem, or f32 for the parts of a split product
const CONV: bool = false;
const W_ROWS: bool = false;
//!end

fn product(part: Part, place: Place, column4: u32) -> vec4f {
  var sum = vec4f();
  for (var step = part.first; step < part.end; step++) {
    let tap = step / p.k4;
    let k = step % p.k4;
    sum += load_w(part.batch * p.w_batch, tap, k, column4) * load_x(tap_at(place, tap), k);
  }
  return sum;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64u + lane;
  let width = select(p.n4, p.n4 / 2u, p.gated != 0u);
  let column4 = i % width;
  let row = i / width % p.m;
  if (i >= p.tiles_n * width * p.m) { return; } // here tiles_n counts batches and their parts
  let part = part_of(i / (width * p.m), p.taps * p.k4);

  let place = place_of(part.batch, row);
  let sum = product(part, place, column4);
  if (p.gated == 0u) {
    store(part, row, column4, sum);
  } else {
    store_gated(part, row, column4, sum, product(part, place, width + column4));
  }
}
