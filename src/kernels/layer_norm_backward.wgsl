// LayerNorm backward over rows of x: with z = (x - mean) / deviation and h = g · weight,
// gx = (h - mean(h) - z · mean(h·z)) / deviation. gz = g · z, whose sum over rows is the weight's gradient, goes out
// beside it. One workgroup owns a row.

//!spec
alias elem = f32; // storage type of x, g and gx; sums are f32
const WG: u32 = 8u;
//!end

struct Params { groups: u32, vectors: u32, eps: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> g: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> gx: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read_write> gz: array<vec4f>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= p.groups) { return; }
  let first = row * p.vectors;
  let stats = statistics(first, lane);

  var sum = 0.0;
  var product = 0.0;
  for (var i = lane; i < p.vectors; i += WG) {
    let z = ((vec4f(x[first + i]) - stats.x) - stats.y) * stats.z;
    let own = vec4f(g[first + i]);
    gz[first + i] = own * z;
    sum += across(own * weight[i]);
    product += dot(own * weight[i], z);
  }
  let size = f32(p.vectors) * 4.0;
  let mean = reduce_sum(sum, lane) / size;
  let slope = reduce_sum(product, lane) / size;

  for (var i = lane; i < p.vectors; i += WG) {
    let z = ((vec4f(x[first + i]) - stats.x) - stats.y) * stats.z;
    gx[first + i] = vec4<elem>((vec4f(g[first + i]) * weight[i] - mean - z * slope) * stats.z);
  }
}
