// y[rows, c] = first half of x[rows, 2c] · gelu(second half). One thread owns one vector of y.

//!spec
alias elem = f32; // storage type of x and y
const WG: u32 = 64u;
//!end

struct Params { groups: u32, items: u32, vectors: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.items) { return; }
  let at = i / p.vectors * 2u * p.vectors + i % p.vectors;
  y[i] = vec4<elem>(vec4f(x[at]) * gelu4(vec4f(x[at + p.vectors])));
}
