// Softmax over the last dimension of x[rows, length]. One workgroup owns a row.

//!spec
alias elem = f32; // storage type of x and y; sums are f32
const WG: u32 = 8u;
//!end

struct Params { groups: u32, length: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= p.groups) { return; }
  let first = row * p.length;

  var high = -3.4e38;
  for (var i = lane; i < p.length; i += WG) { high = max(high, f32(x[first + i])); }
  let largest = reduce_max(high, lane);

  var sum = 0.0;
  for (var i = lane; i < p.length; i += WG) { sum += exp(f32(x[first + i]) - largest); }
  let total = reduce_sum(sum, lane);

  for (var i = lane; i < p.length; i += WG) { y[first + i] = elem(exp(f32(x[first + i]) - largest) / total); }
}
