// y += weight · (x − y), in place: a moving average's step.

//!spec
const WG: u32 = 64u;
//!end

struct Params { groups: u32, vectors: u32, weight: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i < p.vectors) { y[i] -= p.weight * (y[i] - x[i]); }
}
