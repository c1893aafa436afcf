// GroupNorm, last step: y = activation(((x - pivot) - shift) · scale + bias). The mean comes in two parts because one
// float32 holds a large mean no better than to its own rounding. One thread owns four channels of a chunk of pixels, so
// that what belongs to the channels is loaded once.

//!spec
alias elem = f32; // storage type of x and y
const SILU: bool = false;
const WG: u32 = 64u;
//!end

@group(0) @binding(2) var<storage, read> scales: array<vec4f>; // [image][3][channels4]
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<elem>>;

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
  let scale = scales[own + 2u * p.channels4];
  let b = bias[chunk.channel4];
  var at = chunk.first;
  for (var i = 0u; i < chunk.count; i++) {
    let v = ((vec4f(x[at]) - pivot) - shift) * scale + b;
    y[at] = vec4<elem>(activate4(v, select(0u, 2u, SILU)));
    at += p.channels4;
  }
}
