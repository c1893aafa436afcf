// gx[rows, 2c] of y = a · gelu(b), x = [a, b]: [g · gelu(b), g · a · gelu'(b)]. One thread owns one vector of RUN
// neighbouring rows, as the forward's.

//!spec
alias elem = f32; // storage type of x, g and gx
const RUN: u32 = 8u;
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work
  rows: u32,
  vectors: u32, // of a row of g
}

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
  if (i >= p.items) { return; }
  let run = i / p.vectors;
  let column = i - run * p.vectors;
  for (var row = run * RUN; row < min(run * RUN + RUN, p.rows); row++) {
    let at = row * 2u * p.vectors + column;
    let own = vec4f(g[row * p.vectors + column]);
    let gate = vec4f(x[at + p.vectors]);
    gx[at] = vec4<elem>(own * gelu4(gate));
    gx[at + p.vectors] = vec4<elem>(own * vec4f(x[at]) * gelu_slope4(gate));
  }
}
