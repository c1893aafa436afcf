// LayerNorm over the last dimension of x[rows, channels]. One workgroup owns ROWS rows, so that weight and bias are
// loaded once for all of them.

//!spec
alias elem = f32; // storage type of x and y; sums are f32
const ROWS: u32 = 4u;
const WG: u32 = 8u;
//!end

struct Params { groups: u32, rows: u32, vectors: u32, eps: f32 }

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
  let start = group_index(group, groups) * ROWS;
  if (start >= p.rows) { return; }
  var stats: array<vec3f, ROWS>;
  // rows past the last repeat it and store nothing
  for (var r = 0u; r < ROWS; r++) { stats[r] = statistics(min(start + r, p.rows - 1u) * p.vectors, lane); }

  for (var i = lane; i < p.vectors; i += WG) {
    let w = weight[i];
    let b = bias[i];
    for (var r = 0u; r < ROWS; r++) {
      let at = (start + r) * p.vectors + i;
      if (start + r < p.rows) {
        y[at] = vec4<elem>(((vec4f(x[at]) - stats[r].x) - stats[r].y) * stats[r].z * w + b);
      }
    }
  }
}
