// Packs a weight [out][in][tap] into [tap][in, padded to 4][out, padded to 4], converting its type on the way.
// One thread owns 4 outputs × 4 neighbouring inputs-and-taps: whole vectors are written, and every word is read once.

//!spec
alias elem = f32; // storage type of y
const SOURCE: u32 = 0u; // lib/raw.wgsl
//!end

struct Params {
  groups: u32,
  outputs: u32, // rows of the source that this dispatch packs
  inputs: u32,
  taps: u32,
  first: u32, // element where the rows begin inside the binding
  first_out4: u32, // vector of y's rows that they begin with
  out4: u32, // vectors of a row of y
  tiles_out: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group_index(group, groups);
  if (tile >= p.groups) { return; }
  let out = (tile % p.tiles_out * 8u + lane % 8u) * 4u;
  let column = (tile / p.tiles_out * 8u + lane / 8u) * 4u;
  let depth = p.inputs * p.taps;
  let inputs4 = (p.inputs + 3u) / 4u * 4u;
  if (out >= p.outputs || column >= inputs4 * p.taps) { return; }

  for (var j = column; j < column + 4u; j++) {
    var v = vec4f();
    if (j < depth) {
      for (var o = 0u; o < 4u; o++) {
        if (out + o < p.outputs) { v[o] = element(p.first + (out + o) * depth + j); }
      }
    }
    y[(j % p.taps * inputs4 + j / p.taps) * p.out4 + p.first_out4 + out / 4u] = vec4<elem>(v);
  }
}
