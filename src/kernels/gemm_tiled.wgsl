// Matrix product and convolution through workgroup memory, for devices without a fixed subgroup size.
// 8 × 8 threads own a tile of 32 × 32; each thread four rows of four columns. Per step the workgroup stages
// 32 rows of x and of w, KT vectors deep.

//!spec
alias elem = f32; // storage type of x, w, shift, residual and y; sums are f32
const CONV: bool = false;
const W_ROWS: bool = false;
//!end

const KT: u32 = 4u; // vectors along k of one step: 16 values

var<workgroup> tile_x: array<array<vec4f, KT>, 32>;
var<workgroup> tile_w: array<array<vec4f, 8>, 16>; // [k][column4]

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group_index(group, groups);
  if (tile >= p.groups) { return; }
  let first_row = tile % p.tiles_m * 32u;
  let first_column4 = tile / p.tiles_m % p.tiles_n * 8u;
  let batch = tile / (p.tiles_m * p.tiles_n);
  let own_row = lane / 8u * 4u;
  let own_column = lane % 8u;

  // threads 2i and 2i + 1 stage row i of x; every thread stages 2 of the 128 vectors of w
  let x_place = place_of(batch, min(first_row + lane / 2u, p.m - 1u));

  var sums: array<vec4f, 4>;
  let steps = (p.k4 + KT - 1u) / KT;
  for (var step = 0u; step < p.taps * steps; step++) {
    let tap = step / steps;
    let k = step % steps * KT;
    let at = tap_at(x_place, tap);
    for (var j = 0u; j < KT / 2u; j++) {
      let depth = lane % 2u * (KT / 2u) + j;
      tile_x[lane / 2u][depth] = select(vec4f(), load_x(at, min(k + depth, p.k4 - 1u)), k + depth < p.k4);
    }
    if (lane < 32u) {
      let depth = lane / 8u;
      let column4 = min(first_column4 + lane % 8u, p.n4 - 1u);
      let b = load_w(batch * p.w_batch, tap, min(k + depth, p.k4 - 1u), column4);
      for (var j = 0u; j < 4u; j++) { tile_w[depth * 4u + j][lane % 8u] = b[j]; }
    }
    workgroupBarrier();
    for (var depth = 0u; depth < KT; depth++) {
      let b0 = tile_w[depth * 4u][own_column];
      let b1 = tile_w[depth * 4u + 1u][own_column];
      let b2 = tile_w[depth * 4u + 2u][own_column];
      let b3 = tile_w[depth * 4u + 3u][own_column];
      for (var r = 0u; r < 4u; r++) {
        let a = tile_x[own_row + r][depth];
        sums[r] += a.x * b0 + a.y * b1 + a.z * b2 + a.w * b3;
      }
    }
    workgroupBarrier();
  }

  let column4 = first_column4 + own_column;
  if (column4 >= p.n4) { return; }
  for (var r = 0u; r < 4u; r++) {
    let row = first_row + own_row + r;
    if (row < p.m) {
      let i = p.y_first + batch * p.y_batch + row * p.n4 + column4;
      y[i] = vec4<elem>(epilogue(sums[r], batch, row, column4, i));
    }
  }
}
