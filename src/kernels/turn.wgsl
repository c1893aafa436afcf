// The packed weight of a convolution's gradient in its input: taps in reverse order, inputs and outputs exchanged.
// w [taps][inputs][outputs] → y [taps][outputs][inputs], both counts multiples of 4. One thread owns four by four.

//!spec
alias elem = f32;
const WG: u32 = 64u;
//!end

struct Params { groups: u32, items: u32, taps: u32, inputs4: u32, outputs4: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let o = item % p.outputs4;
  let i = item / p.outputs4 % p.inputs4;
  let tap = item / (p.outputs4 * p.inputs4);
  let at = (tap * p.inputs4 + i) * 4u * p.outputs4 + o;
  let block = transpose(mat4x4<elem>(w[at], w[at + p.outputs4], w[at + 2u * p.outputs4], w[at + 3u * p.outputs4]));
  let out = ((p.taps - 1u - tap) * p.outputs4 + o) * 4u * p.inputs4 + i;
  for (var j = 0u; j < 4u; j++) { y[out + j * p.inputs4] = block[j]; }
}
