// GroupNorm backward, second step: from each channel's sums of g and g · z the group's means of h and h · z, where
// h = g · weight, written for every channel of the group. One thread owns one (image, group).

//!spec
const WG: u32 = 64u;
//!end

struct Params { groups: u32, items: u32, channel_groups: u32, channels: u32, pixels: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>; // [image][2][channels]
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> means: array<f32>; // [image][2][channels]

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let image = item / p.channel_groups;
  let width = p.channels / p.channel_groups;
  let channel = item % p.channel_groups * width;
  let first = image * 2u * p.channels + channel;
  var sum = 0.0;
  var product = 0.0;
  for (var i = 0u; i < width; i++) {
    sum += weight[channel + i] * sums[first + i];
    product += weight[channel + i] * sums[first + i + p.channels];
  }
  let size = f32(p.pixels) * f32(width);
  for (var i = 0u; i < width; i++) {
    means[first + i] = sum / size;
    means[first + i + p.channels] = product / size;
  }
}
