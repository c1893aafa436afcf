// GroupNorm, first step: every channel of a chunk of pixels as (pivot, mean - pivot, sum of squared deviations).
// One thread owns four channels of a chunk. The pivot is the channel's first value: the sums are of differences from
// it, so that a large common mean costs no digits, and as the pivot is one of the values, what cancels is at most the
// chunk's length.

//!spec
alias elem = f32; // storage type of x
const WG: u32 = 64u;
//!end

@group(0) @binding(2) var<storage, read_write> parts: array<vec4f>; // [image · chunks][3][channels4]

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let chunk = chunk_of(item);
  var at = chunk.first;
  let pivot = vec4f(x[at]);
  var sum = vec4f();
  var squares = vec4f();
  var i = 1u;
  for (; i + 3u < chunk.count; i += 4u) {
    let a = vec4f(x[at + p.channels4]) - pivot;
    let b = vec4f(x[at + 2u * p.channels4]) - pivot;
    let c = vec4f(x[at + 3u * p.channels4]) - pivot;
    at += 4u * p.channels4;
    let d = vec4f(x[at]) - pivot;
    sum += (a + b) + (c + d);
    squares += (a * a + b * b) + (c * c + d * d);
  }
  for (; i < chunk.count; i++) {
    at += p.channels4;
    let d = vec4f(x[at]) - pivot;
    sum += d;
    squares += d * d;
  }
  let shift = sum / f32(chunk.count);
  let out = chunk.index * 3u * p.channels4 + chunk.channel4;
  parts[out] = pivot;
  parts[out + p.channels4] = shift;
  parts[out + 2u * p.channels4] = max(squares - sum * shift, vec4f());
}
