// y[id] = Σ g[j] over the j with ids[j] = id: the gradient of a table whose rows were looked up. One thread owns one item
// of the row of one j; the first j of an id adds up all of them, in order, and the others do nothing. Rows that no id
// names are left as they are.

//!spec
alias item_t = vec4<f32>; // vec4 or, where rows do not divide, a scalar
alias wide_t = vec4<f32>; // the same in f32
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32,
  count: u32, // ids
  row: u32, // items of a row
  first_row: u32, // of the table at which y's binding begins
  rows: u32, // in the binding; ids beside them are another band's, or nobody's
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> g: array<item_t>;
@group(0) @binding(3) var<storage, read_write> y: array<item_t>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.items) { return; }
  let j = i / p.row;
  let column = i - j * p.row;
  let id = ids[j];
  if (id < p.first_row || id >= p.first_row + p.rows) { return; }
  for (var before = 0u; before < j; before++) {
    if (ids[before] == id) { return; }
  }
  var sum = wide_t();
  for (var own = j; own < p.count; own++) {
    if (ids[own] == id) { sum += wide_t(g[own * p.row + column]); }
  }
  y[(id - p.first_row) * p.row + column] = item_t(sum);
}
