// y[i] = table[ids[i]], row by row. One thread moves one item of a row. A table larger than a binding comes in bands;
// an id outside the whole table gives zeros.

//!spec
alias item_t = vec4<f32>; // vec4 or, where rows do not divide, a scalar
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32,
  row: u32, // items of a row
  first_row: u32, // rows of the table in this binding
  rows: u32,
  all_rows: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<item_t>;
@group(0) @binding(3) var<storage, read_write> y: array<item_t>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.items) { return; }
  let id = ids[i / p.row];
  if (id >= p.first_row && id < p.first_row + p.rows) {
    y[i] = table[(id - p.first_row) * p.row + i % p.row];
  } else if (id >= p.all_rows) {
    y[i] = item_t();
  }
}
