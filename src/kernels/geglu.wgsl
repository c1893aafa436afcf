// y[rows, c] = first half of x[rows, 2c] · gelu(second half). One thread owns one vector of RUN neighbouring rows:
// dividing its number into indices costs as much as a row on software adapters.

//!spec
alias elem = f32; // storage type of x and y
const RUN: u32 = 8u;
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work
  rows: u32,
  vectors: u32, // of a row of y
}

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
  let run = i / p.vectors;
  let column = i - run * p.vectors;
  for (var row = run * RUN; row < min(run * RUN + RUN, p.rows); row++) {
    let at = row * 2u * p.vectors + column;
    y[row * p.vectors + column] = vec4<elem>(vec4f(x[at]) * gelu4(vec4f(x[at + p.vectors])));
  }
}
