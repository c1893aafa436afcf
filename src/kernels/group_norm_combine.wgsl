// GroupNorm, second step: the group's mean and variance from its channels' chunks, written out per channel as what the
// last step subtracts, subtracts again and multiplies by. One workgroup owns one (image, group). Chan's formula:
// squared deviations of the parts plus those of their means.

//!spec
const WG: u32 = 8u;
//!end

struct Params {
  groups: u32,
  channel_groups: u32,
  channels: u32,
  chunks: u32, // of one image
  chunk: u32, // pixels of a chunk; the last one of an image has the rest
  pixels: u32, // of one image
  eps: f32,
  raw: u32, // not 0: multiply by the rate alone, as the backward pass wants it
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<f32>; // [image · chunks][3][channels]
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> scales: array<f32>; // [image][3][channels]

fn pixels_of(chunk: u32) -> f32 {
  return f32(min(p.chunk, p.pixels - chunk * p.chunk));
}

// A part's mean as the distance from the group's pivot, exact where both are large.
fn distance_of(at: u32, pivot: f32) -> f32 {
  return (parts[at] - pivot) + parts[at + p.channels];
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups);
  if (item >= p.groups) { return; }
  let image = item / p.channel_groups;
  let width = p.channels / p.channel_groups;
  let first_channel = item % p.channel_groups * width;
  let count = p.chunks * width;
  let first = image * p.chunks * 3u * p.channels + first_channel;
  let pivot = parts[first];

  var sum = 0.0;
  for (var i = lane; i < count; i += WG) {
    let chunk = i / width;
    sum += distance_of(first + chunk * 3u * p.channels + i - chunk * width, pivot) * pixels_of(chunk);
  }
  let size = f32(p.pixels) * f32(width);
  let shift = reduce_sum(sum, lane) / size;

  var squares = 0.0;
  for (var i = lane; i < count; i += WG) {
    let chunk = i / width;
    let at = first + chunk * 3u * p.channels + i - chunk * width;
    let d = distance_of(at, pivot) - shift;
    squares += parts[at + 2u * p.channels] + d * d * pixels_of(chunk);
  }
  let rate = inverseSqrt(reduce_sum(squares, lane) / size + p.eps);

  for (var i = lane; i < width; i += WG) {
    let out = image * 3u * p.channels + first_channel + i;
    scales[out] = pivot;
    scales[out + p.channels] = shift;
    scales[out + 2u * p.channels] = rate * select(weight[first_channel + i], 1.0, p.raw != 0u);
  }
}
