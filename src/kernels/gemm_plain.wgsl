// Matrix product and convolution with nothing but loads: one thread owns one row of four columns.
// The simplest form, against which the others are measured, and the choice for a few rows.

//!spec
alias elem = f32; // storage type of x, w, shift, residual and y; sums are f32
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
  let batch = i / (p.n4 * p.m);
  if (batch >= p.tiles_n) { return; } // here tiles_n counts batches

  let place = place_of(batch, row);
  var sum = vec4f();
  for (var tap = 0u; tap < p.taps; tap++) {
    let at = tap_at(place, tap);
    for (var k = 0u; k < p.k4; k++) {
      let a = load_x(at, k);
      sum += load_w(batch * p.w_batch, tap, k, column4) * a;
    }
  }
  let out = p.y_first + batch * p.y_batch + row * p.n4 + column4;
  y[out] = vec4<elem>(epilogue(sum, batch, row, column4, out));
}
