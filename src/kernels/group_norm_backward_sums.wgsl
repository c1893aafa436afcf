// GroupNorm backward, first step: of every channel of a chunk of pixels the sums of g and of g · z, z the normalised x.
// With SILU, g is first multiplied by the activation's slope. One thread owns four channels of a chunk.

//!spec
alias elem = f32; // storage type of x and g
const SILU: bool = false;
const WG: u32 = 64u;
//!end

@group(0) @binding(2) var<storage, read> g: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> scales: array<vec4f>; // [image][3][channels4]: pivot, shift, rate
@group(0) @binding(4) var<storage, read> weight: array<vec4f>;
@group(0) @binding(5) var<storage, read> bias: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> parts: array<vec4f>; // [image · chunks][2][channels4]

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
  let w = weight[chunk.channel4];
  let b = bias[chunk.channel4];
  var at = chunk.first;
  var sum = vec4f();
  var product = vec4f();
  for (var i = 0u; i < chunk.count; i++) {
    let z = ((vec4f(x[at]) - pivot) - shift) * rate;
    var h = vec4f(g[at]);
    if (SILU) { h *= silu_slope4(z * w + b); }
    sum += h;
    product += h * z;
    at += p.channels4;
  }
  let out = chunk.index * 2u * p.channels4 + chunk.channel4;
  parts[out] = sum;
  parts[out + p.channels4] = product;
}
