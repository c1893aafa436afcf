// GroupNorm, first step: every channel of a chunk of pixels as (pivot, mean - pivot, sum of squared deviations).
// One thread owns four channels of a chunk. The pivot is the channel's first value: the sums are of differences from
// it, so that a large common mean costs no digits, and as the pivot is one of the values, what cancels is at most the
// chunk's length.

//!spec
alias elem = f32; // storage type of x
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work: chunks of this dispatch · channels4
  channels4: u32,
  pixels: u32, // of one image
  chunk: u32, // pixels of a chunk; the last one of an image has the rest
  chunks: u32, // of one image
  first_chunk: u32, // of this dispatch, counted over all images
  first_pixel: u32, // at which the binding's first pixel lies, counted over all images
  x_first: u32, // vector at which that pixel begins
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec4f>; // [image · chunks][3][channels4]

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let channel4 = item % p.channels4;
  let chunk = p.first_chunk + item / p.channels4;
  let image = chunk / p.chunks;
  let start = (chunk - image * p.chunks) * p.chunk;
  let count = min(p.chunk, p.pixels - start);
  var at = p.x_first + (image * p.pixels + start - p.first_pixel) * p.channels4 + channel4;
  let pivot = vec4f(x[at]);
  var sum = vec4f();
  var squares = vec4f();
  var i = 1u;
  for (; i + 3u < count; i += 4u) {
    let a = vec4f(x[at + p.channels4]) - pivot;
    let b = vec4f(x[at + 2u * p.channels4]) - pivot;
    let c = vec4f(x[at + 3u * p.channels4]) - pivot;
    at += 4u * p.channels4;
    let d = vec4f(x[at]) - pivot;
    sum += (a + b) + (c + d);
    squares += (a * a + b * b) + (c * c + d * d);
  }
  for (; i < count; i++) {
    at += p.channels4;
    let d = vec4f(x[at]) - pivot;
    sum += d;
    squares += d * d;
  }
  let shift = sum / f32(count);
  let out = chunk * 3u * p.channels4 + channel4;
  parts[out] = pivot;
  parts[out + p.channels4] = shift;
  parts[out + 2u * p.channels4] = max(squares - sum * shift, vec4f());
}
