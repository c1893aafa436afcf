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

fn activated(v: vec4f) -> vec4<elem> {
  return vec4<elem>(activate4(v, select(0u, 2u, SILU)));
}

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
  var i = 0u;
  for (; i + 1u < chunk.count; i += 2u) { // two pixels a turn, since a turn costs software adapters as much as a pixel
    let next = at + p.channels4;
    let v = ((vec4f(x[at]) - pivot) - shift) * scale + b;
    let w = ((vec4f(x[next]) - pivot) - shift) * scale + b;
    y[at] = activated(v);
    y[next] = activated(w);
    at = next + p.channels4;
  }
  if (i < chunk.count) { y[at] = activated(((vec4f(x[at]) - pivot) - shift) * scale + b); }
}
