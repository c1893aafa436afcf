// Snake (Ziyin et al. 2020, arXiv 2006.08195, equation 3): y = x + sin²(a·x) / a, or its gradient g · (1 + sin(2·a·x)).
// One thread owns one vector of four; storage is padded to whole vectors, so the last one may hold garbage.

//!spec
const GRADIENT: bool = false; // y is the gradient, and g is read
const WG: u32 = 64u; // threads of a workgroup
//!end

struct Params { groups: u32, vectors: u32, a: f32 } // groups is always the number of workgroups

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> g: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * WG + lane; // many workgroups are folded into two dimensions
  if (i >= p.vectors) { return; }
  if (GRADIENT) {
    y[i] = g[i] * (1.0 + sin(2.0 * p.a * x[i]));
  } else {
    let s = sin(p.a * x[i]);
    y[i] = x[i] + s * s / p.a;
  }
}
