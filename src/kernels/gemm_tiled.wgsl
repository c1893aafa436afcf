// Matrix product and convolution through workgroup memory, without subgroups.
// A tile of ROWS × 4·COLUMNS4 belongs to a grid of threads, of which each sums TM rows of TN4 vectors in registers. Per
// step the workgroup stages KD vectors along k of x's rows and of w, both with k as the slow index, so that a thread
// reads its rows and columns as vectors.

//!spec
alias elem = f32; // storage type of x, w, shift and residual; sums are f32
alias stored = f32; // type of y: elem, or f32 for the parts of a split product
const CONV: bool = false;
const W_ROWS: bool = false;
const ROWS: u32 = 64u;
const COLUMNS4: u32 = 16u;
const TM: u32 = 8u; // a multiple of 4
const TN4: u32 = 2u;
//!end

const KD: u32 = 4u; // vectors along k of one step
const ROWS4: u32 = ROWS / 4u;
const GRID_N: u32 = COLUMNS4 / TN4; // threads along the columns
const GRID_M: u32 = ROWS / TM;
const THREADS: u32 = GRID_M * GRID_N;
const TM4: u32 = TM / 4u;

var<workgroup> tile_x: array<array<vec4f, ROWS4>, KD * 4u>; // [k][rows]
var<workgroup> tile_w: array<array<vec4f, COLUMNS4>, KD * 4u>; // [k][columns]

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tile = group_index(group, groups);
  if (tile >= p.groups) { return; }
  let first_row = tile % p.tiles_m * ROWS;
  let first_column4 = tile / p.tiles_m % p.tiles_n * COLUMNS4;
  let steps = (p.k4 + KD - 1u) / KD; // of one tap
  let part = part_of(tile / (p.tiles_m * p.tiles_n), p.taps * steps);

  // the first threads stage x and the last ones w, each a block of 4 × 4; in small tiles some stage both
  let stages_x = thread < ROWS4 * KD;
  let x_depth = thread % KD;
  let x_rows4 = thread / KD % ROWS4;
  var places: array<Place, 4>;
  for (var i = 0u; i < 4u; i++) { places[i] = place_of(part.batch, min(first_row + x_rows4 * 4u + i, p.m - 1u)); }
  let stages_w = thread >= THREADS - COLUMNS4 * KD;
  let w_block = thread - min(thread, THREADS - COLUMNS4 * KD);
  let w_depth = w_block / COLUMNS4 % KD;
  let w_column4 = w_block % COLUMNS4;
  let w_column = column_at(first_column4 + w_column4, GRID_N); // a thread's second vector of columns gates its first

  let own_m = thread / GRID_N;
  let own_n = thread % GRID_N;
  var sums: array<array<vec4f, TN4>, TM>;
  for (var step = part.first; step < part.end; step++) {
    let tap = step / steps;
    let k = step % steps * KD;
    if (stages_x) {
      let depth = k + x_depth;
      var rows: mat4x4f;
      for (var i = 0u; i < 4u; i++) {
        rows[i] = load_x(select(NOWHERE, tap_at(places[i], tap), depth < p.k4), depth);
      }
      let columns = transpose(rows);
      for (var i = 0u; i < 4u; i++) { tile_x[x_depth * 4u + i][x_rows4] = columns[i]; }
    }
    if (stages_w) {
      let depth = k + w_depth;
      let b = load_w(part.batch * p.w_batch, tap, min(depth, p.k4 - 1u), w_column.of_w);
      for (var i = 0u; i < 4u; i++) { tile_w[w_depth * 4u + i][w_column4] = select(vec4f(), b[i], depth < p.k4); }
    }
    workgroupBarrier();
    for (var d = 0u; d < KD * 4u; d++) {
      var b: array<vec4f, TN4>;
      for (var c = 0u; c < TN4; c++) { b[c] = tile_w[d][own_n + c * GRID_N]; }
      for (var r = 0u; r < TM4; r++) {
        let a = tile_x[d][own_m + r * GRID_M];
        for (var c = 0u; c < TN4; c++) {
          sums[r * 4u][c] += a.x * b[c];
          sums[r * 4u + 1u][c] += a.y * b[c];
          sums[r * 4u + 2u][c] += a.z * b[c];
          sums[r * 4u + 3u][c] += a.w * b[c];
        }
      }
    }
    workgroupBarrier();
  }

  for (var r = 0u; r < TM; r++) {
    let row = first_row + (own_m + r / 4u * GRID_M) * 4u + r % 4u;
    for (var c = 0u; c < TN4; c++) {
      let column = column_at(first_column4 + own_n + c * GRID_N, GRID_N);
      if (row >= p.m || !column.is_inside) { continue; }
      if (p.gated == 0u) { store(part, row, column.of_y, sums[r][c]); }
      if (p.gated != 0u && c % 2u == 1u) { store_gated(part, row, column.of_y, sums[r][c - 1u], sums[r][c]); }
    }
  }
}
