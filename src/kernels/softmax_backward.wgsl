// gx = y · (g - Σ g·y) · scale over rows of y = softmax(x), whose padding to whole vectors is zero. One workgroup owns
// a row.

//!spec
alias elem = f32; // storage type of y, g and gx; sums are f32
const WG: u32 = 8u;
//!end

struct Params { groups: u32, vectors: u32, scale: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> g: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read_write> gx: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= p.groups) { return; }
  let first = row * p.vectors;
  var sum = 0.0;
  for (var i = lane; i < p.vectors; i += WG) { sum += dot(vec4f(y[first + i]), vec4f(g[first + i])); }
  let total = reduce_sum(sum, lane);
  for (var i = lane; i < p.vectors; i += WG) {
    gx[first + i] = vec4<elem>(vec4f(y[first + i]) * (vec4f(g[first + i]) - total) * p.scale);
  }
}
