// gx = g · activation'(x), element by element, four at a time; or g where x lies inside low … high, else 0.
// One thread owns one vector; storage is padded to whole vectors, so the last one may hold garbage.

//!spec
alias elem = f32; // storage type of x, g and gx
const ACT: u32 = 2u; // lib/activation.wgsl
const CLAMP: bool = false;
const WG: u32 = 64u;
//!end

struct Params { groups: u32, vectors: u32, low: f32, high: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> g: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read_write> gx: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.vectors) { return; }
  let own = vec4f(x[i]);
  var slope = vec4f();
  if (CLAMP) {
    slope = select(vec4f(1.0), vec4f(), (own < vec4f(p.low)) | (own > vec4f(p.high)));
  } else {
    slope = slope4(own, ACT);
  }
  gx[i] = vec4<elem>(vec4f(g[i]) * slope);
}
