// GroupNorm backward, last step: gx = (h - mean(h) - z · mean(h·z)) · rate, where h = g · weight, with SILU after the
// activation's slope. One thread owns four channels of a chunk of pixels.

//!spec
alias elem = f32; // storage type of x, g and gx
const SILU: bool = false;
const WG: u32 = 64u;
//!end

@group(0) @binding(2) var<storage, read> g: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> scales: array<vec4f>; // [image][3][channels4]: pivot, shift, rate
@group(0) @binding(4) var<storage, read> means: array<vec4f>; // [image][2][channels4]
@group(0) @binding(5) var<storage, read> weight: array<vec4f>;
@group(0) @binding(6) var<storage, read> bias: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> gx: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let chunk = chunk_of(item);
  let own = chunk.image * 3u * p.channels4 + chunk.channel4;
  let pivot = scales[own];
  let shift = scales[own + p.channels4];
  let rate = scales[own + 2u * p.channels4];
  let mean = means[chunk.image * 2u * p.channels4 + chunk.channel4];
  let slope = means[(chunk.image * 2u + 1u) * p.channels4 + chunk.channel4];
  let w = weight[chunk.channel4];
  let b = bias[chunk.channel4];
  var at = chunk.first;
  for (var i = 0u; i < chunk.count; i++) {
    let z = ((vec4f(x[at]) - pivot) - shift) * rate;
    var h = vec4f(g[at]);
    if (SILU) { h *= silu_slope4(z * w + b); }
    gx[at] = vec4<elem>((h * w - mean - z * slope) * rate);
    at += p.channels4;
  }
}
