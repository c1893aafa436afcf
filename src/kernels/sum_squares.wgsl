// Partial sums of squares: each thread of a fixed number sums its share in a fixed order, the host adds the shares, so
// that the result is the same in every run. A NaN or an infinity makes its share infinite: bits are tested, since
// compilers may assume that arithmetic never meets them.

//!spec
alias elem = f32; // storage type of x
const WG: u32 = 64u;
//!end

struct Params { groups: u32, count: u32, first: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> shares: array<u32>; // bits of f32; written from `first` on

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let thread = group_index(group, groups) * WG + lane;
  var sum = 0.0;
  var bad = false;
  for (var i = thread; i < p.count; i += p.groups * WG) {
    let value = f32(x[i]);
    bad = bad || (bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u;
    sum += value * value;
  }
  shares[p.first + thread] = select(bitcast<u32>(sum), 0x7f800000u, bad);
}
