// GroupNorm, first step: mean and sum of squared deviations of every channel over a chunk of pixels.
// One thread owns four channels of a chunk and goes down the pixels with Welford's update, which neither cancels
// nor needs a second pass.

//!spec
alias elem = f32; // storage type of x
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work: chunks · channels4
  channels4: u32,
  pixels: u32, // in this binding
  chunk: u32, // pixels of a chunk; the last may have fewer
  x_first: u32, // vector at which the pixels begin
  out_first: u32, // vector of `mean` and `square` for the first chunk
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read_write> mean: array<vec4f>; // [image · chunks][channels4]
@group(0) @binding(3) var<storage, read_write> square: array<vec4f>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let start = item / p.channels4 * p.chunk;
  let count = min(p.chunk, p.pixels - start);
  var at = p.x_first + start * p.channels4 + item % p.channels4;
  var m = vec4f();
  var s = vec4f();
  for (var i = 0u; i < count; i++) {
    let v = vec4f(x[at]);
    let d = v - m;
    m += d / f32(i + 1u);
    s += d * (v - m);
    at += p.channels4;
  }
  mean[p.out_first + item] = m;
  square[p.out_first + item] = s;
}
