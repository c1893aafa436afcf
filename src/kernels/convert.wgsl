// y = x in another storage type, element by element. One thread owns one vector of y.

//!spec
alias elem = f32; // storage type of y
const SOURCE: u32 = 0u; // lib/raw.wgsl
//!end

struct Params { groups: u32, count: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64u + lane;
  if (i * 4u >= p.count) { return; }
  y[i] = vec4<elem>(vec4f(element(i * 4u), element(i * 4u + 1u), element(i * 4u + 2u), element(i * 4u + 3u)));
}
