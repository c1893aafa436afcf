// Matrix product and convolution by one subgroup to a tile of ROWS × 4·LANES.
// A lane loads one vec4 along k of its own row and hands it to the others by shuffles, which cost next to nothing
// on software adapters, where every load is dear; each lane owns four columns, so w is read once per tile.

//!spec
alias elem = f32; // storage type of x, w, shift and residual; sums are f32
alias stored = f32; // type of y: elem, or f32 for the parts of a split product
const LANES: u32 = 8u; // the device's subgroup size
const PIN: bool = false; // it has others too: this one is asked for
const ROWS: u32 = 16u; // rows of a tile
const CONV: bool = false;
const W_ROWS: bool = false;
//!end

const LOADS: u32 = (ROWS + LANES - 1u) / LANES; // vectors of x that a lane loads at a time

var<workgroup> parked: array<vec4f, ROWS * LANES>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = group_index(group, groups);
  if (tile >= p.groups) { return; }
  let first_row = tile % p.tiles_m * ROWS; // neighbours share columns: their part of w stays in the cache
  let column = column_at(tile / p.tiles_m % p.tiles_n * LANES + lane, 1u); // lanes past the edge store nothing
  let part = part_of(tile / (p.tiles_m * p.tiles_n), p.taps * p.k4);

  var places: array<Place, LOADS>;
  for (var j = 0u; j < LOADS; j++) { places[j] = place_of(part.batch, min(first_row + j * LANES + lane, p.m - 1u)); }

  var sums: array<vec4f, ROWS>;
  for (var step = part.first; step < part.end;) {
    let tap = step / p.k4;
    let first_k = step % p.k4;
    let end_k = min(p.k4, first_k + part.end - step);
    var at: array<u32, LOADS>;
    for (var j = 0u; j < LOADS; j++) { at[j] = tap_at(places[j], tap); }
    for (var k = first_k; k < end_k; k++) {
      var a: array<vec4f, LOADS>;
      for (var j = 0u; j < LOADS; j++) { a[j] = load_x(at[j], k); }
      let b = load_w(part.batch * p.w_batch, tap, k, column.of_w);
      for (var r = 0u; r < ROWS; r++) {
        let v = subgroupShuffle(a[r / LANES], r % LANES);
        sums[r] += v.x * b[0] + v.y * b[1] + v.z * b[2] + v.w * b[3];
      }
    }
    step += end_k - first_k;
  }

  // each lane parks its own sums in workgroup memory, so that the rows can be finished by a loop instead of ROWS
  // copies of its body: the compiler keeps `sums` in registers only while every index into it is constant
  for (var r = 0u; r < ROWS; r++) { parked[r * LANES + lane] = sums[r]; }
  let rows = min(ROWS, p.m - first_row);
  if (p.gated != 0u) {
    // even lanes have values and odd ones their gates: each pair finishes one row by the first and one by the other
    for (var r = 0u; r < rows; r += 2u) {
      let own = parked[r * LANES + lane];
      let next = parked[min(r + 1u, ROWS - 1u) * LANES + lane];
      let other = subgroupShuffleXor(own, 1u);
      let other_next = subgroupShuffleXor(next, 1u);
      let is_gate = lane % 2u == 1u;
      let row = r + select(0u, 1u, is_gate);
      if (row < rows && column.is_inside) {
        store_gated(part, first_row + row, column.of_y, select(own, other_next, is_gate), select(other, next, is_gate));
      }
    }
  } else if (column.is_inside) {
    for (var r = 0u; r < rows; r++) { store(part, first_row + r, column.of_y, parked[r * LANES + lane]); }
  }
}
