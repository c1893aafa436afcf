// Counts NaNs and infinities: each thread of a fixed number counts its share. Bits are tested, since compilers may
// assume that arithmetic never meets them.

//!spec
alias elem = f32; // storage type of x
const WG: u32 = 64u;
//!end

struct Params { groups: u32, count: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let thread = group_index(group, groups) * WG + lane;
  var bad = 0u;
  for (var i = thread; i < p.count; i += p.groups * WG) {
    if ((bitcast<u32>(f32(x[i])) & 0x7f800000u) == 0x7f800000u) { bad += 1u; }
  }
  counts[thread] = bad;
}
