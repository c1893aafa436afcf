// y = Σ cᵢ·tᵢ over up to six tensors of one shape, in f32: a scheduler's step in one dispatch.

//!spec
alias elem = f32; // storage type of all
const TERMS: u32 = 2u;
const WG: u32 = 64u;
//!end

struct Params { groups: u32, vectors: u32, c0: f32, c1: f32, c2: f32, c3: f32, c4: f32, c5: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> t0: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> t1: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> t2: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> t3: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> t4: array<vec4<elem>>;
@group(0) @binding(6) var<storage, read> t5: array<vec4<elem>>;
@group(0) @binding(7) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.vectors) { return; }
  var sum = p.c0 * vec4f(t0[i]);
  if (TERMS > 1u) { sum += p.c1 * vec4f(t1[i]); }
  if (TERMS > 2u) { sum += p.c2 * vec4f(t2[i]); }
  if (TERMS > 3u) { sum += p.c3 * vec4f(t3[i]); }
  if (TERMS > 4u) { sum += p.c4 * vec4f(t4[i]); }
  if (TERMS > 5u) { sum += p.c5 * vec4f(t5[i]); }
  y[i] = vec4<elem>(sum);
}
