// LayerNorm over the last dimension of x[rows, channels]. One workgroup owns a row.
// Two passes over the row: one-pass E[x²]-E[x]² cancels when the mean is large against the deviation.

//!spec
alias elem = f32; // storage type of x and y; sums are f32
const WG: u32 = 8u;
//!end

struct Params { groups: u32, vectors: u32, eps: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= p.groups) { return; }
  let first = row * p.vectors;
  let count = f32(p.vectors * 4u);

  var sum = vec4f();
  for (var i = lane; i < p.vectors; i += WG) { sum += vec4f(x[first + i]); }
  let mean = reduce_sum(sum.x + sum.y + sum.z + sum.w, lane) / count;

  var squares = vec4f();
  for (var i = lane; i < p.vectors; i += WG) {
    let d = vec4f(x[first + i]) - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(reduce_sum(squares.x + squares.y + squares.z + squares.w, lane) / count + p.eps);

  for (var i = lane; i < p.vectors; i += WG) {
    y[first + i] = vec4<elem>((vec4f(x[first + i]) - mean) * scale * weight[i] + bias[i]);
  }
}
