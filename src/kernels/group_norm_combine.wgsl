// GroupNorm, second step: the group's mean and variance from its channels' chunks, written out per channel as what the
// last step subtracts and multiplies by. One workgroup owns one (image, group). Chan's formula: squared deviations of
// the parts plus those of their means.

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
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> mean: array<f32>; // [image · chunks][channels]
@group(0) @binding(2) var<storage, read> square: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> centre: array<f32>; // [image][channels]
@group(0) @binding(5) var<storage, read_write> scale: array<f32>;

fn pixels_of(chunk: u32) -> f32 {
  return f32(min(p.chunk, p.pixels - chunk * p.chunk));
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
  let parts = p.chunks * width;
  let first = image * p.chunks * p.channels + first_channel;

  // means are averaged as differences from one of them: a large common mean costs no digits
  let base = mean[first];
  var sum = 0.0;
  for (var i = lane; i < parts; i += WG) {
    let chunk = i / width;
    sum += (mean[first + chunk * p.channels + i % width] - base) * pixels_of(chunk);
  }
  let count = f32(p.pixels) * f32(width);
  let shift = reduce_sum(sum, lane) / count;

  var squares = 0.0;
  for (var i = lane; i < parts; i += WG) {
    let chunk = i / width;
    let at = first + chunk * p.channels + i % width;
    let d = (mean[at] - base) - shift;
    squares += square[at] + d * d * pixels_of(chunk);
  }
  let rate = inverseSqrt(reduce_sum(squares, lane) / count + p.eps);

  for (var i = lane; i < width; i += WG) {
    let channel = first_channel + i;
    centre[image * p.channels + channel] = base + shift;
    scale[image * p.channels + channel] = rate * weight[channel];
  }
}
