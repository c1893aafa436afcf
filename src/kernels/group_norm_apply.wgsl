// GroupNorm, last step: y = activation((x - centre) · scale + bias). One thread owns four channels of RUN pixels, so
// that what belongs to the channels is loaded once.

//!spec
alias elem = f32; // storage type of x and y
const RUN: u32 = 8u;
const SILU: bool = false;
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work: runs · channels4
  channels4: u32,
  pixels: u32, // in this binding
  x_first: u32, // vector at which the pixels begin
  image: u32, // whose statistics are used
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> centre: array<vec4f>;
@group(0) @binding(3) var<storage, read> scale: array<vec4f>;
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let channel4 = item % p.channels4;
  let start = item / p.channels4 * RUN;
  let own = p.image * p.channels4 + channel4;
  let c = centre[own];
  let s = scale[own];
  let b = bias[channel4];
  for (var i = start; i < min(start + RUN, p.pixels); i++) {
    let at = p.x_first + i * p.channels4 + channel4;
    let v = (vec4f(x[at]) - c) * s + b;
    y[at] = vec4<elem>(activate4(v, select(0u, 2u, SILU)));
  }
}
